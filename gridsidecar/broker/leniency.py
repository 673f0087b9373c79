"""Message properties that cannot be read are left out, instead of costing the connection; queues may have any name.

The client ends its connection when one property does not decode: a timestamp in nanoseconds, a text that is not
UTF-8. The broker would then hand out the same message again, and again, and nothing behind it would ever run.

It also takes only some of the names that RabbitMQ takes: none in Chinese, none with an apostrophe.
"""

from __future__ import annotations

import re

import pamqp.constants
import pamqp.decode
from pamqp.base import BasicProperties

from gridsidecar import telemetry

FIXED_SIZES = {"octet": 1, "timestamp": 8}  # bytes


def install() -> None:
    """Make the client lenient, for the whole process."""
    BasicProperties.unmarshal = _unmarshal  # type: ignore[method-assign]
    pamqp.constants.DOMAIN_REGEX["queue-name"] = re.compile(".*", re.DOTALL)


def _unmarshal(self: BasicProperties, flags: int, data: bytes) -> None:
    for name in self.__slots__:
        if flags & self.flags[name]:
            kind = getattr(type(self), "_" + name)
            try:
                consumed, value = pamqp.decode.by_type(data, kind)
            except (ValueError, OverflowError, OSError, RecursionError) as error:
                consumed, value = _size(data, kind), None
                telemetry.warning("left out a message property that cannot be read", property=name, error=str(error))
            setattr(self, name, value)
            data = data[consumed:]


def _size(data: bytes, kind: str) -> int:
    """Bytes that a property takes up, read or not."""
    if kind == "shortstr":
        return 1 + data[0]
    if kind == "table":
        return 4 + int.from_bytes(data[:4], "big")
    return FIXED_SIZES[kind]
