"""What is printed and logged goes to the task by which it is, where many run at once."""

from __future__ import annotations

import io
import logging
import sys
from typing import Any, Optional, TextIO

from gridsidecar_sdk.context import current

_LONGEST = 65536  # characters of a line


class TaskStream(io.TextIOBase):
    """A stream like the one that it stands before: whole lines of a task become log lines of its."""

    def __init__(self, beside: TextIO, level: str) -> None:
        self._beside = beside
        self._level = level

    def write(self, text: str) -> int:
        context = current.get(None)
        if context is None or not context.is_open:
            return self._beside.write(text)
        *lines, rest = (context.printed.get(self._level, "") + text).split("\n")
        if len(rest) > _LONGEST:
            lines, rest = [*lines, rest], ""
        context.printed[self._level] = rest
        for line in lines:
            context.log(self._level, line)
        return len(text)

    def flush(self) -> None:
        self._beside.flush()

    def fileno(self) -> int:
        return self._beside.fileno()

    def isatty(self) -> bool:
        return self._beside.isatty()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._beside.encoding

    @property
    def errors(self) -> Optional[str]:  # type: ignore[override]
        return self._beside.errors

    @property
    def newlines(self) -> Any:  # type: ignore[override]
        return self._beside.newlines

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beside, name)


def print_to_tasks() -> None:
    """From now on; loggers that already have one of the two streams, too."""
    old = (sys.stdout, sys.stderr)
    new = (TaskStream(sys.stdout, "info"), TaskStream(sys.stderr, "warning"))
    sys.stdout, sys.stderr = new  # type: ignore[assignment]
    for logger in (logging.getLogger(), *logging.Logger.manager.loggerDict.values()):
        for handler in getattr(logger, "handlers", ()):
            for before, after in zip(old, new):
                if isinstance(handler, logging.StreamHandler) and handler.stream is before:
                    handler.setStream(after)
