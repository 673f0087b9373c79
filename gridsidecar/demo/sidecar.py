"""The demo's sidecar: the real one, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import gridsidecar
from gridsidecar.errors import GridSidecarError

STOP_TIMEOUT = 8.0  # seconds
LOG_LINES_SHOWN = 30
# Settings of the person's own sidecar must not reach this one.
_OWN_SETTINGS = ("GRID_ASYNC_TASK_", "RABBITMQ_", "MYSQL_", "FEISHU_", "LOG_")


class SidecarDied(GridSidecarError):
    """It ended before the tasks did."""


class Sidecar:
    """Runs inside `with`."""

    def __init__(self, config: Path) -> None:
        self._folder = config.parent
        self._config = config
        self._log = self._folder / "sidecar.log"

    def __enter__(self) -> Sidecar:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gridsidecar", "run", "-c", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,  # no .env of the current folder
                env=_environment(),
                start_new_session=True,  # Ctrl-C reaches the demo, which then stops it
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except BaseException:  # a second Ctrl-C, too
            self._process.kill()
            self._process.wait()
            raise

    def log_text(self) -> str:
        """Its log so far."""
        return self._log.read_text(errors="replace")

    def check(self) -> None:
        """Raises SidecarDied with the end of its log when it is gone."""
        code = self._process.poll()
        if code is not None:
            lines = self.log_text().splitlines()[-LOG_LINES_SHOWN:]
            raise SidecarDied("\n".join([f"the demo's sidecar ended with {code}; the end of its log:", *lines]))


def _environment() -> dict[str, str]:
    """Ours without settings, and with the place that this package was found in."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_SETTINGS)}
    places = [str(Path(gridsidecar.__file__).parents[1]), inherited.get("PYTHONPATH", "")]
    return inherited | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
