"""The daemon as a process of its own, as a pod or a unit runs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gridsidecar.failpoints import VARIABLE
from tests.support import forked
from tests.support.cgroup import enter
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
PROCESS = "gridsidecar.supervisor.sidecar"
SOON = 28  # seconds
PATIENCE = 60  # seconds; among busy neighbours several processes may take twenty until they are there


class Sidecar:
    """`gridsidecar run` with a configuration; its stderr is kept in `log`, or goes to the descriptor `stderr`.

    `variables` are added to its environment, `prefix` is a command that becomes it, `within` is the cgroup that it
    starts in. With `anew` it is started, not forked: for who measures its start, its memory or its open files.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        *flags: str,
        failpoints: str = "",
        variables: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        stderr: int | None = None,
        within: Path | None = None,
        anew: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        self._signalled = False
        file = folder / "config.yaml"
        file.write_text(json.dumps(config))  # JSON is YAML
        program = "tests.support.armed" if failpoints else "gridsidecar"
        command = [*prefix, sys.executable, "-m", program, "run", "-c", str(file), *flags]
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
        environment |= variables or {}
        if failpoints:
            environment[VARIABLE] = failpoints
        with self.log.open("ab") as output:
            placed = {} if within is None else {"preexec_fn": partial(enter, within)}
            self._process = forked.start(
                command,
                anew=anew,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output if stderr is None else stderr,
                cwd=folder,
                env=environment,
                start_new_session=True,
                **placed,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def says(self, words: str) -> bool:
        """Whether these words stand in the log."""
        return words in self.text

    async def said(self, words: str, timeout: float = PATIENCE) -> None:
        """Wait until these words stand in the log, or fail at once when the process is gone without them."""

        def said_or_gone() -> bool:
            return self.says(words) or self.exit_code is not None

        await eventually(said_or_gone, timeout)
        assert self.says(words), f"ended with {self.exit_code} and did not say {words!r}:\n{self.text}"

    async def ready(self, timeout: float = PATIENCE, processes: int = 1) -> None:
        """Until it takes tasks, with all its processes."""
        await self.said("consuming", timeout)
        await eventually(lambda: self.text.count("consuming") >= processes, timeout)

    async def ended(self, timeout: float | None = None) -> int:
        """Its exit code, once it has one. Who was sent a signal is not given the usual grace for tasks, which is 30 s;
        who ends by itself may have to start first."""
        await eventually(lambda: self.exit_code is not None, timeout or (SOON if self._signalled else PATIENCE))
        assert self.exit_code is not None
        return self.exit_code

    def signal(self, number: signal.Signals) -> None:
        self._signalled = True
        self._process.send_signal(number)

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the daemon alone; its handlers live on, as on a bare host."""
        self._process.kill()
        self._process.wait()

    def die(self) -> list[int]:
        """SIGKILL to everything at once, as when a pod dies; the handlers that died with it."""
        if self.exit_code is not None:
            return []
        self.signal(signal.SIGSTOP)  # it must neither see its handlers die nor start another
        processes = self.processes()
        for process in processes:
            _signal_group(process, signal.SIGSTOP)
        handlers = self.handlers()
        for one in handlers + processes:
            _signal_group(one, signal.SIGKILL)  # each leads a group of its own
        self.kill()
        return handlers

    def processes(self) -> list[int]:
        """Those that share its work, when it has several, in their order; none when it does all itself."""
        places = {pid: words[-2] for pid in _children(self.pid) if PROCESS in (words := _words(pid))}
        return sorted(places, key=lambda pid: int(places[pid]))

    def handlers(self) -> list[int]:
        """The processes that it has started and that live."""
        processes = self.processes()
        if not processes:
            return _children(self.pid)
        return [pid for process in processes for pid in _children(process)]

    def resident_bytes(self) -> int:
        """Memory of the daemon itself."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def _children(parent: int) -> list[int]:
    lists = Path(f"/proc/{parent}/task").glob("*/children")
    with contextlib.suppress(OSError):  # it is gone
        return [int(pid) for file in lists for pid in file.read_text().split()]
    return []


def _words(pid: int) -> list[str]:
    """The command line of a process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").rstrip("\0").split("\0")
    return []


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)
