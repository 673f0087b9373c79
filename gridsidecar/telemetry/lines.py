"""What a line of the log looks like, for people and for machines."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    """One JSON object a line. `event` is the English name in every language; another one adds `message`."""

    def __init__(self, words: Mapping[str, str], *, ascii_only: bool) -> None:
        super().__init__()
        self._words = words
        self._ascii_only = ascii_only or not words

    def format(self, record: logging.LogRecord) -> str:
        name = record.getMessage()
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": name,
        }
        if name in self._words:
            entry["message"] = self._words[name]
        entry.update(getattr(record, "fields", {}))
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=self._ascii_only)


class ConsoleFormatter(logging.Formatter):
    """Time, level, words, fields; a traceback below it."""

    def __init__(self, words: Mapping[str, str]) -> None:
        super().__init__()
        self._words = words

    def format(self, record: logging.LogRecord) -> str:
        stamp = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{key}={_plain(value)}" for key, value in getattr(record, "fields", {}).items())
        name = record.getMessage()
        line = f"{stamp} {record.levelname:<7} {self._words.get(name, name)}{'  ' + fields if fields else ''}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


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
