"""The kinds of values that settings have."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, StringConstraints, WithJsonSchema


def _no_bool(value: Any) -> Any:
    """`true` where a number belongs is a mistake, not 1."""
    if isinstance(value, bool):
        raise ValueError("a number is needed here")
    return value


_OTHERS = {  # of syslog, Java, .NET, Node, Go, Rust and PHP
    "DEBUG": "TRACE VERBOSE ALL NOTSET SILLY FINE FINER FINEST",
    "INFO": "NOTICE INFORMATION CONFIG HTTP",
    "WARNING": "WARN",
    "ERROR": "CRITICAL FATAL SEVERE ERR CRIT ALERT EMERG EMERGENCY PANIC DPANIC OFF NONE SILENT QUIET",
}
_OTHERS_LEVELS = {name: level for level, names in _OTHERS.items() for name in names.split()}
_BY_NUMBER = ((10, "DEBUG"), (20, "INFO"), (30, "WARNING"))  # as Python counts


def _level_name(value: Any) -> Any:
    """Log levels in any case; the names and numbers that other programs use mean the nearest of ours."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return value
    name = str(value).strip().upper()
    if name.isascii() and name.isdigit():
        return next((level for number, level in _BY_NUMBER if int(name[:6]) <= number), "ERROR")
    return _OTHERS_LEVELS.get(name, name)


def is_level(text: str) -> bool:
    return _level_name(text) in _OTHERS


def _number_of_processes(value: Any) -> Any:
    """Checked by hand: pydantic would blame each choice of a union for itself."""
    if value == "auto" or (type(value) is int and 1 <= value <= MOST_PROCESSES):
        return value
    raise ValueError("a whole number or auto is needed here")


def urls_of(text: str) -> list[str]:
    """Those that stand in one text, with commas between them. A password may have one, too."""
    return _COMMA.split(text)


def _one_url_or_several(value: Any) -> Any:
    """One URL, or those of a cluster in turn: a list, or one text with commas between them, as variables have it."""
    if isinstance(value, str):
        value = urls_of(value)
    if isinstance(value, list) and value and all(isinstance(url, str) for url in value):
        return value if len(value) > 1 else value[0]
    raise ValueError("a URL or a list of URLs is needed here")


_COMMA = re.compile(r"\s*,\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)")
MOST_PROCESSES = 1000
BrokerUrl = Annotated[
    str | list[str],
    PlainValidator(_one_url_or_several),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Number = BeforeValidator(_no_bool)
Processes = Annotated[
    int | Literal["auto"],
    PlainValidator(_number_of_processes),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_PROCESSES}, {"const": "auto"}]}),
]
NonNegative = Annotated[float, Field(ge=0), Number]
WholeNumber = Annotated[int, Field(ge=0), Number]
LONGEST_DELAY = 86_400  # seconds for which one delay queue can hold a message
SHORTEST_RETENTION = LONGEST_DELAY // 86_400 + 1  # days: a day more, for what stands in the queue after it
RETENTION_SCHEMA = WithJsonSchema(
    {"anyOf": [{"const": 0}, {"type": "number", "minimum": SHORTEST_RETENTION, "maximum": 36500}]}
)
Positive = Annotated[float, Field(gt=0), Number]
Fraction = Annotated[float, Field(ge=0, le=1), Number]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]*$", max_length=40)]
ExitCode = Annotated[int, Field(ge=1, le=255), Number]
QueueName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
TaskType = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Argv = Annotated[list[str], Field(min_length=1)]
QueuePattern = Annotated[str, StringConstraints(min_length=1, max_length=255)]
SigningSecret = Annotated[str, StringConstraints(min_length=1)]
NoticeEvent = Literal["failed", "success", "retrying", "cancelled"]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_level_name)]
