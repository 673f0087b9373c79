"""The beat of an event loop: how late it comes, and a file that says that it came."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gridsidecar import telemetry
from gridsidecar.clock import SystemClock
from gridsidecar.runtime import probe
from gridsidecar.runtime.health import Health, Vitals, in_words
from gridsidecar.telemetry.outlet import Outlet

BEAT = 1.0  # seconds
WRITTEN_EVERY = 5  # beats; a change is written with the next one
REMEMBERED = 15  # beats, of which the latest says how late the loop is: about what lies between two scrapes
LAST_WAIT = 1.0  # seconds for the file to be removed
_START = "\f"  # of a file's text; the last one counts


class Pulse:
    """Beats once a second."""

    def __init__(self, health: Callable[[], Health], file: str | None) -> None:
        self._health = health
        self._file = None if file is None else HeartbeatFile(Path(file))
        self._lags: deque[float] = deque(maxlen=REMEMBERED)
        self._loop: asyncio.Task[None] | None = None

    @property
    def lag(self) -> float:
        """Seconds by which the event loop came too late, at worst, in the last beats."""
        return max(self._lags, default=0.0)

    def start(self, vitals: Vitals) -> None:
        self._loop = vitals.start("pulse", self._beat())

    async def stop(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None
        if self._file is not None:
            self._file.remove()

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._file is not None:
                self._file.write(loop.time(), self._health())
            expected = loop.time() + BEAT
            await asyncio.sleep(BEAT)
            self._lags.append(max(0.0, loop.time() - expected))


class HeartbeatFile:
    """Written by a thread, for a disk may hang, and moved into its place whole. What cannot be written is told once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told = False
        self._last: Health | None = None
        self._beats = 0  # since it was written
        self._outlet = Outlet("gridsidecar heartbeat", self._keep, stuck=_nothing, drained=lambda _: None)

    def write(self, at: float, health: Health) -> None:
        self._beats += 1
        if health == self._last and self._beats < WRITTEN_EVERY:
            return
        self._last, self._beats = health, 0
        brief = health.brief()
        text = probe.write(at, in_words(brief.broken), in_words(brief.not_ready))
        self._outlet.put((_START + text).encode())

    def remove(self) -> None:
        self._outlet.put(_START.encode())
        self._outlet.finish(SystemClock().monotonic() + LAST_WAIT)

    def _keep(self, texts: bytes) -> None:
        text = texts.rpartition(_START.encode())[2]
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            if not text:
                self._path.unlink(missing_ok=True)
                return
            with suppress(FileNotFoundError):
                new.unlink()  # of a process that died before us; what others put there is not followed
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), "wb") as file:
                file.write(text)
            os.replace(new, self._path)
        except OSError as error:
            self._tell(f"{self._path}: {error.strerror}")
        else:
            self._told = False

    def _tell(self, reason: str) -> None:
        if not self._told:
            self._told = True
            telemetry.warning("heartbeat file cannot be written", reason=reason, hint="probes that read it will fail")


def _nothing() -> None:
    """What had no room was not the last word."""
