"""Of what kind a queue is, as far as AMQP tells: in the refusal of a declaration that differs from it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource, ChannelPreconditionFailed

# How the server closes a channel when it will not have a queue declared.
REFUSALS = (ChannelAccessRefused, ChannelLockedResource, ChannelPreconditionFailed)

MOST_ARGUMENTS = 16  # that are learnt, one after the other
NO_SUCH_TYPE = "none"  # nothing is created by it, should the queue be gone by now
_DIFFERS = re.compile(
    r"inequivalent arg '(?P<name>.+?)' .*current is "
    r"(?:none|(?:the value )?'(?P<value>.*?)'(?: of type '(?P<type>\w+)')?)$",
    re.DOTALL,
)


def differs(error: Exception) -> bool:
    """Whether a declaration was refused because the queue exists with other arguments."""
    return _DIFFERS.search(str(error)) is not None


async def is_stream(declare: Callable[[dict[str, Any]], Awaitable[None]]) -> bool | None:
    """Whether an existing queue is a stream; None where the server does not say. `declare` tries a declaration.

    The server names one difference at a time, a limit before the type: what it names is put right until the type is
    the one that is left.
    """
    arguments: dict[str, Any] = {"x-queue-type": NO_SUCH_TYPE}
    for _ in range(MOST_ARGUMENTS):
        try:
            await declare(arguments)
        except ChannelPreconditionFailed as error:
            found = _DIFFERS.search(str(error))
        except REFUSALS:
            return None
        else:
            return None
        if found is None:
            return None
        name, value = found["name"], found["value"]
        if name in ("x-queue-type", "durable", "auto_delete"):  # a stream is durable and stays
            return name == "x-queue-type" and value == "stream"
        arguments[name] = _typed(value, found["type"])
    return None


def _typed(value: str | None, kind: str | None) -> Any:
    if kind == "bool":
        return value == "true"
    return value if value is None or kind == "longstr" else int(value)
