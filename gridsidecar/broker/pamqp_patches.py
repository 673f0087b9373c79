"""Message properties that cannot be read are left out, instead of costing the connection; queues may have any name.

The client ends its connection when one property does not decode: a timestamp in nanoseconds, a text that is not
UTF-8. The broker would then hand out the same message again, and again, and nothing behind it would ever run.

It also takes only some of the names that RabbitMQ takes: none in Chinese, none with an apostrophe.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import pamqp.constants
import pamqp.decode
from pamqp.base import BasicProperties
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from gridsidecar import telemetry

FIXED_SIZES = {"octet": 1, "timestamp": 8}  # bytes
_HEADER = struct.Struct(">HHQH")  # class, weight, bytes of the body, flags
_MORE_FLAGS = 1
_PROPERTIES = tuple(
    (name, Basic.Properties.flags[name], Basic.Properties.amqp_type(name)) for name in Basic.Properties.attributes()
)


def install() -> None:
    """Make the client lenient, for the whole process."""
    BasicProperties.unmarshal = _unmarshal  # type: ignore[method-assign]
    pamqp.constants.DOMAIN_REGEX["queue-name"] = re.compile(".*", re.DOTALL)


def read_header(frame: bytes) -> tuple[int, dict[str, Any]]:
    """The size of a message's body and its properties, of the payload of a content header."""
    _, _, size, flags = _HEADER.unpack_from(frame)
    if flags & _MORE_FLAGS:
        header = ContentHeader()
        header.unmarshal(frame)
        return size, dict(header.properties)
    return size, read_properties(flags, frame[_HEADER.size :])


def read_properties(flags: int, data: bytes) -> dict[str, Any]:
    """The properties that are there and can be read."""
    properties: dict[str, Any] = {}
    for name, flag, kind in _PROPERTIES:
        if flags & flag:
            try:
                consumed, properties[name] = pamqp.decode.by_type(data, kind)
            except (ValueError, OverflowError, OSError, RecursionError) as error:
                consumed = _size(data, kind)
                telemetry.warning("left out a message property that cannot be read", property=name, error=str(error))
            data = data[consumed:]
    return properties


def _unmarshal(self: BasicProperties, flags: int, data: bytes) -> None:
    for name, value in read_properties(flags, data).items():
        setattr(self, name, value)


def _size(data: bytes, kind: str) -> int:
    """Bytes that a property takes up, read or not."""
    if kind == "shortstr":
        return 1 + data[0]
    if kind == "table":
        return 4 + int.from_bytes(data[:4], "big")
    return FIXED_SIZES[kind]
