"""Of what kind a queue is, as far as AMQP tells: in the refusal of a declaration that differs from it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aio_pika.exceptions import ChannelPreconditionFailed
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource
from msgspec import Struct, field

# How the server closes a channel when it will not have a queue declared.
REFUSALS = (ChannelAccessRefused, ChannelLockedResource, ChannelPreconditionFailed)

STREAM_OFFSET = "x-stream-offset"  # of a stream's consumer, and a header of everything that a stream delivers
MOST_ARGUMENTS = 16  # that are learnt, one after the other
NO_SUCH_TYPE = "none"  # nothing is created by it, should the queue be gone by now
_DIFFERS = re.compile(
    r"inequivalent arg '(?P<name>.+?)' .*current is "
    r"(?:none|(?:the value )?'(?P<value>.*?)'(?: of type '(?P<type>\w+)')?)$",
    re.DOTALL,
)


def differs(error: Exception) -> bool:
    """Whether a declaration was refused because the queue exists with other arguments."""
    return difference(error) is not None


def difference(error: Exception) -> tuple[str, str | None] | None:
    """The argument that an existing queue has otherwise, and what it is there; None for any other refusal."""
    found = _DIFFERS.search(str(error))
    return None if found is None else (found["name"], found["value"])


class Existing(Struct, frozen=True):
    """A queue as it is. `passing` names what makes it end before its time, durable or auto_delete; then no more than
    this is known of it."""

    kind: str  # classic | quorum | stream
    arguments: Mapping[str, Any] = field(default_factory=dict)  # without the kind
    passing: str | None = None


Declare = Callable[[dict[str, Any]], Awaitable[None]]  # tries a declaration, and raises one of REFUSALS


async def is_stream(declare: Declare) -> bool | None:
    """Whether an existing queue is a stream; None where the server does not say."""
    found = await existing(declare)
    return None if found is None else found.kind == "stream"


async def is_consumed_as_stream(consume: Declare) -> bool | None:
    """The same, for whoever may not declare: no queue starts a consumer with these arguments and without a prefetch
    count. A stream misses the latter, every other kind refuses the former, by name."""
    try:
        await consume({STREAM_OFFSET: "next"})
    except ChannelPreconditionFailed as error:
        if STREAM_OFFSET in str(error):
            return False
        return True if "prefetch" in str(error) else None
    except REFUSALS:
        return None
    return None


async def existing(declare: Declare, wanted: Mapping[str, Any] | None = None) -> Existing | None:
    """What an existing queue is, as the refusals of other declarations tell it, the one with the arguments `wanted`
    first; None where the server does not say. Nothing is created.

    The server names one difference at a time, a limit before the type: what it names is put right until the type is
    the one that is left.
    """
    arguments: dict[str, Any] = {**(wanted or {}), "x-queue-type": NO_SUCH_TYPE}
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
        if name in ("durable", "auto_delete"):
            return Existing("classic", passing=name)  # the others are durable and stay
        if name == "x-queue-type":
            known = {name: value for name, value in arguments.items() if name != "x-queue-type" and value is not None}
            return Existing(value or "classic", known)
        arguments[name] = _typed(value, found["type"])
    return None


def _typed(value: str | None, kind: str | None) -> Any:
    if kind == "bool":
        return value == "true"
    return value if value is None or kind == "longstr" else int(value)
