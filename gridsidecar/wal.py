"""The write-ahead log of an SQLite file: kept small, and told of where somebody keeps it from that."""

from __future__ import annotations

import os

from gridsidecar import telemetry

KEPT = 64 * 1024 * 1024  # bytes that stay on disk once all of it has been taken over into the file
LARGE = 256 * 1024 * 1024
EVERY = 256  # writes between two checks

BOUND = f"PRAGMA journal_size_limit = {KEPT}"


class WalWatch:
    """Warns once each time that the log has grown large: as long as anybody reads on, SQLite cannot begin it anew."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._written = 0
        self._told = False

    def written(self) -> None:
        """After a step that may have written."""
        self._written += 1
        if self._written % EVERY == 0:
            self._check()

    def _check(self) -> None:
        try:
            size = os.stat(f"{self._path}-wal").st_size
        except OSError:
            return
        if size > LARGE and not self._told:
            telemetry.warning(
                "SQLite's write-ahead log has grown large; end whoever reads the file without a pause",
                path=self._path,
                megabytes=size // 1_000_000,
            )
        self._told = size > LARGE
