"""A wall clock that a test can set for one process; timers and the monotonic clock go on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.support.debian import install

PLACES = ("usr/lib/*/faketime/libfaketimeMT.so.1", "usr/lib*/faketime/libfaketimeMT.so.1")


def library() -> Path:
    """libfaketime, installed where it is missing; `CannotInstall` when that is impossible."""
    if not _found():
        install("libfaketime")
    return _found()[0]


def _found() -> list[Path]:
    return [path for pattern in PLACES for path in Path("/").glob(pattern)]


class WallClock:
    """Start a program with `variables`, and it follows `jump`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wall-clock"
        self.variables: Mapping[str, str] = {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # its name in other releases
            "NO_FAKE_STAT": "1",
        }
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """From now on it is so many seconds ahead of the machine's clock (or behind)."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.rename(self._file)
