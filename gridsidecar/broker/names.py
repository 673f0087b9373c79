"""What a queue may be called."""

from __future__ import annotations

from gridsidecar.errors import PublishRefused

LONGEST = 255  # bytes in UTF-8
RESERVED = "amq."


def check_queue_name(name: str) -> None:
    """Raises PublishRefused for a name that no queue can have, wherever it comes from."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise PublishRefused(f"{name!r} is no queue name: it is not valid Unicode") from None
    if not 0 < length <= LONGEST:
        raise PublishRefused(f"{name[:40]!r} is no queue name: it has {length} bytes, and 1 to {LONGEST} are allowed")
