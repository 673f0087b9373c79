"""What a line of the log looks like, for people and for machines."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from gridsidecar.language import Translate, as_it_is
from gridsidecar.language.quoting import has_quotes

_OTHERS_SAID = {
    "line",
    "task_id",
    "tasks",
    "type",
    "worker",
    "queue",
    "error_type",
}  # fields that are never ours to translate
_BEYOND_ASCII = re.compile(r"[^\x20-\x7e\n]")
_DATE, _TIME = 10, 12  # characters of a line
DEEPEST = 100  # levels that are shown of what is nested too deeply to be shown


class JsonFormatter(logging.Formatter):
    """One JSON object a line. `event` is the English name in every language; another one adds `message`."""

    def __init__(self, words: Mapping[str, str], translate: Translate = as_it_is, *, ascii_only: bool) -> None:
        super().__init__()
        self._words = words
        self._translate = translate
        self._ascii_only = ascii_only or not words

    def format(self, record: logging.LogRecord) -> str:
        name = record.getMessage()
        entry: dict[str, object] = {
            "time": f"{_utc(record.created)}+00:00",
            "level": record.levelname.lower(),
            "event": name,
        }
        if name in self._words:
            entry["message"] = self._words[name]
        entry.update(_told(record, self._translate))
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json_text(entry, ascii_only=self._ascii_only)

    def in_file(self, _record: logging.LogRecord, line: str) -> str:
        return line


class ConsoleFormatter(logging.Formatter):
    """Time, level, words, fields; a traceback below it."""

    def __init__(self, words: Mapping[str, str], translate: Translate = as_it_is) -> None:
        super().__init__()
        self._words = words
        self._translate = translate

    def format(self, record: logging.LogRecord) -> str:
        stamp = _utc(record.created)[_DATE + 1 :]
        fields = " ".join(f"{key}={_plain(value)}" for key, value in _told(record, self._translate).items())
        name = record.getMessage()
        line = f"{stamp} {record.levelname:<7} {self._words.get(name, name)}{'  ' + fields if fields else ''}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def in_file(self, record: logging.LogRecord, line: str) -> str:
        """A file is read days later, and elsewhere: its lines have the date and the zone, too."""
        return f"{_utc(record.created)[:_DATE]} {line[:_TIME]}Z{line[_TIME:]}"


def _utc(moment: float) -> str:
    """`2026-01-31T12:00:00.000`."""
    second, fraction = divmod(moment, 1)
    return f"{_utc_second(int(second))}.{int(fraction * 1000):03d}"


@lru_cache(maxsize=2)
def _utc_second(second: int) -> str:
    """Kept, because a second has many lines: it takes as long as the rest of one."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def json_text(value: Any, *, ascii_only: bool = False, indent: int | None = None) -> str:
    """JSON, on one line without `indent`: readable in any language, but nothing in it steers a terminal."""
    try:
        text = json.dumps(value, ensure_ascii=ascii_only, default=str, indent=indent)
    except RecursionError:  # a row that another program wrote
        text = json.dumps(_shallow(value, DEEPEST), ensure_ascii=ascii_only, default=str, indent=indent)
    return text if text.isprintable() else _BEYOND_ASCII.sub(_escaped, text)


def _shallow(value: Any, levels: int) -> Any:
    """Without what is deeper than so many levels."""
    match value:
        case dict() | list() if levels == 0:
            return "…"
        case dict():
            return {key: _shallow(item, levels - 1) for key, item in value.items()}
        case list():
            return [_shallow(item, levels - 1) for item in value]
    return value


def _escaped(match: re.Match[str]) -> str:
    return match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1]


def _told(record: logging.LogRecord, translate: Translate) -> dict[str, object]:
    """The fields of a line; sentences of ours in its language."""
    fields: dict[str, object] = getattr(record, "fields", {})
    return {
        key: value if not isinstance(value, str) or key in _OTHERS_SAID else _in_words(value, translate)
        for key, value in fields.items()
    }


def _in_words(value: str, translate: Translate) -> str:
    """A single word is a name."""
    return translate(value) if " " in value or has_quotes(value) else value


def _plain(value: object) -> str:
    """One field for the console: what is not printable is escaped, so that text from outside can neither forge a line
    nor steer a terminal."""
    text = str(value)
    if text.isprintable() and text and " " not in text:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    if quoted.isprintable():
        return quoted
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in quoted)
