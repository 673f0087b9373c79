"""A stderr that holds nobody: whatever Python says there (warnings, tracebacks, other libraries) goes by an outlet."""

from __future__ import annotations

import io
import threading
from typing import TextIO

from gridsidecar.telemetry.outlet import Outlet


class Stderr(io.TextIOBase):
    """Stands in for `sys.stderr`. Whole lines go on as they come, the rest of one at the next flush."""

    def __init__(self, original: TextIO, outlet: Outlet) -> None:
        self.original = original
        self._outlet = outlet
        self._lock = threading.RLock()
        self._rest = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.original.encoding

    def fileno(self) -> int:
        return self.original.fileno()

    def isatty(self) -> bool:
        return self.original.isatty()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            lines, end, self._rest = (self._rest + text).rpartition("\n")
        self._put(lines + end)
        return len(text)

    def flush(self) -> None:
        """Does not wait: see `telemetry.finish`."""
        with self._lock:
            rest, self._rest = self._rest, ""
        self._put(rest)

    def _put(self, text: str) -> None:
        if text:
            self._outlet.put(text.encode(self.encoding, "backslashreplace"))
