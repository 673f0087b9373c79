"""What a queue may be called."""

from __future__ import annotations

import re

from gridsidecar.broker import delays
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.errors import PublishRefused

LONGEST = 255  # bytes in UTF-8
RESERVED = "amq."


def check_queue_name(name: str) -> None:
    """Raises PublishRefused for a name that no queue of anybody's can have, wherever it comes from."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise PublishRefused(f"{name!r} is no queue name: it is not valid Unicode") from None
    if not 0 < length <= LONGEST:
        raise PublishRefused(f"{name[:40]!r} is no queue name: it has {length} bytes, and 1 to {LONGEST} are allowed")
    if not name.isprintable():
        raise PublishRefused(f"{name!r} is no queue name: it has characters that cannot be printed")
    if name.startswith(RESERVED):
        raise PublishRefused(f"{name!r} is no queue to send to: names that start with {RESERVED} are RabbitMQ's own")


def is_ours(name: str, settings: BrokerSettings) -> bool:
    """Whether it is the work queue, or one behind it: what is put there comes back as a task, or as a dead letter."""
    delay_queue = re.escape(delays.queue_name(settings.queue, 0)).removesuffix("0") + r"\d+"
    ours = (settings.queue, settings.dead_letters, f"{settings.queue}.dead")
    return name in ours or re.fullmatch(delay_queue, name) is not None
