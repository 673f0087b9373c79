"""Nothing that is told holds work: a stderr that nobody reads, a terminal that is stopped, a log file that hangs."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridsidecar.telemetry.file import NAME
from tests.e2e.conftest import Start
from tests.support.cli import ROOT, gridsidecar
from tests.support.log_files import as_on_stderr
from tests.support.place import TASKS as TASKS_TABLE
from tests.support.place import Place
from tests.support.waiting import eventually

TASKS = 1500
LONG = "x" * 1000  # enough for their ends to be more than may wait
FAILING = ["/bin/sh", "-c", f"echo {LONG} >&2; exit 3"]


class Reader:
    """The far end of somebody's stderr: nobody reads it until `read` is called."""

    def __init__(self, near: int, far: int) -> None:
        self.near = near
        self._far = far
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._heard = bytearray()

    @property
    def text(self) -> str:
        return self._heard.decode().replace("\r\n", "\n")

    def read(self) -> None:
        self._thread.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._far, 65536):
                self._heard += data
        except OSError:  # how Linux tells that a terminal's last writer is gone
            pass
        finally:
            os.close(self._far)

    def close(self) -> None:
        os.close(self.near)
        if self._thread.ident is None:
            os.close(self._far)


@pytest.fixture(params=["pipe", "terminal"])
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    far, near = os.pipe() if request.param == "pipe" else pty.openpty()
    reader = Reader(near, far)
    yield reader
    reader.close()


def lost_lines(text: str, words: str) -> int:
    match = re.search(rf"{words}  lost_lines=(\d+)\n", text)
    assert match is not None, text[-2000:]
    return int(match[1])


@pytest.mark.timeout(240)
@pytest.mark.parametrize("reader", ["pipe"], indirect=True)
async def test_a_stderr_that_nobody_reads_holds_no_task(embedded_place: Place, start: Start, reader: Reader) -> None:
    place, logs = embedded_place, embedded_place.folder / "logs"
    log = {"level": "INFO", "dir": str(logs), "stats_interval": 0}
    config = place.config(
        {"default": {"command": FAILING}}, log=log, worker={"concurrency": 8}, retry={"max_retries": 0}
    )
    await place.publish(*({"task_id": f"t{number}"} for number in range(TASKS)))
    sidecar = start(config, stderr=reader.near)
    await eventually(lambda: place.all_ended(TASKS), timeout=120)
    reader.read()
    await eventually(lambda: "stderr takes lines again" in reader.text)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    await eventually(lambda: "statistics" in reader.text.splitlines()[-1])
    kept = as_on_stderr((logs / NAME).read_text()).splitlines()
    heard = reader.text.splitlines()
    lost = lost_lines(reader.text, "stderr takes lines again")
    assert lost > 100
    assert len(heard) + lost == len(kept), "what it was not told was counted"
    gap = next(number for number, (one, other) in enumerate(zip(heard, kept, strict=False)) if one != other)
    assert "stderr takes lines again" in heard[gap]
    assert heard[gap:] == kept[gap + lost :]
    assert "stderr takes no lines" in kept[gap]


@pytest.mark.timeout(120)
async def test_its_lease_is_kept_and_sigterm_obeyed(embedded_place: Place, start: Start, reader: Reader) -> None:
    place = embedded_place
    gate = place.folder / "gate"
    handlers = {"default": {"command": FAILING}, "long": place.job("until", gate)}
    config = place.config(handlers, worker={"concurrency": 8, "lease": 1}, retry={"max_retries": 0})
    held = start(config, stderr=reader.near)
    await place.publish({"task_id": "long", "task_type": "long"})
    await eventually(lambda: place.journal.started)
    await place.publish(*({"task_id": f"t{number}"} for number in range(300)))
    await eventually(lambda: place.all_ended(300), timeout=60)
    other = start(config)
    await other.said("consuming")
    leases = f"select max(expires_at) as until from {TASKS_TABLE}_workers where id = ?"
    worker = place.row("long")["worker_id"]
    for _ in range(4):
        last = place.fetch(leases, worker)
        await eventually(lambda last=last: place.fetch(leases, worker) != last)  # type: ignore[misc]
    assert len(place.journal.started) == 1
    held.terminate()
    gate.touch()
    assert await held.ended() == 0
    assert (place.status("long"), place.row("long")["attempt"]) == ("success", 1)


async def test_a_reader_that_never_comes_does_not_hold_its_exit(embedded_place: Place, start: Start) -> None:
    far, near = os.pipe()
    fcntl.fcntl(near, fcntl.F_SETPIPE_SZ, 4096)
    os.write(near, bytes(4096))
    try:
        config = embedded_place.config({"default": embedded_place.job("done")})
        sidecar = start(config, "--burst", stderr=near, anew=True)
        assert await sidecar.ended() == 0
    finally:
        os.close(near)
        os.close(far)


@pytest.mark.parametrize("fault", ["command: [true", "handlers: {}"])
def test_what_is_wrong_at_the_start_is_still_told(tmp_path: Path, fault: str) -> None:
    (tmp_path / "config.yaml").write_text(fault)
    done = gridsidecar(tmp_path, "run")
    assert done.returncode == 78
    assert done.stderr.startswith("gridsidecar: ") or "config.yaml" in done.stderr
    assert done.stderr.endswith("\n")


# -- whatever else speaks ---------------------------------------------------------------------------------------------

SPEAKER = """
import logging, sys, time, traceback, warnings
from gridsidecar import telemetry

class Bad:
    def __init__(self, text):
        self.text = text

    def __del__(self):
        raise ValueError(self.text)


telemetry.free_stderr()
telemetry.configure("INFO", "console")
ways = {
    "print": lambda text: print(text, file=sys.stderr, flush=True),
    "warning": lambda text: warnings.warn_explicit(text, UserWarning, "file", 1, registry={}),
    "library": lambda text: logging.getLogger("somebody").warning(text),
    "traceback": lambda text: sys.excepthook(ValueError, ValueError(text), None),
    "unraisable": lambda text: Bad(text),
    "log": lambda text: telemetry.info(text),
}
say = ways[sys.argv[1]]
for number in range(3000):
    say("y" * 1000)
sys.stdout.write("said all\\n")
sys.stdout.flush()
sys.stdin.readline()
"""


@pytest.mark.parametrize("way", ["print", "warning", "library", "traceback", "unraisable", "log"])
def test_no_way_to_speak_waits_for_a_reader(tmp_path: Path, way: str) -> None:
    far, near = os.pipe()
    speaker = subprocess.Popen(
        [sys.executable, "-W", "always", "-c", SPEAKER, way],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=near,
        text=True,
    )
    killer = threading.Timer(30, speaker.kill)
    killer.start()
    try:
        assert speaker.stdout is not None
        assert speaker.stdout.readline() == "said all\n"
        speaker.communicate("")
        assert speaker.returncode == 0, "nor does its end"
    finally:
        killer.cancel()
        speaker.kill()
        speaker.communicate()
        os.close(near)
        os.close(far)


# -- the file ---------------------------------------------------------------------------------------------------------

HANGING = """
import os, sys, threading, time
from gridsidecar import telemetry
from gridsidecar.clock import SystemClock
from gridsidecar.telemetry import file

hung, free = threading.Event(), os.path.join(sys.argv[1], "free")
write = os.write

def hang(fd, data):
    if fd != 2 and b"never" not in data:
        while not os.path.exists(free):
            hung.wait(0.01)
    return write(fd, data)

file.os = type("os", (), {**vars(os), "write": staticmethod(hang)})
telemetry.free_stderr()
telemetry.configure("INFO", "console", file=file.LogFile(sys.argv[1], SystemClock()))
for number in range(3000):
    telemetry.info("task failed", error="z" * 1000)
    if number % 100 == 0:
        time.sleep(0.02)
sys.stdout.write("said all\\n")
sys.stdout.flush()
sys.stdin.readline()
telemetry.finish()
"""


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_disk_that_hangs_holds_nobody(tmp_path: Path, comes_back: bool) -> None:
    speaker = subprocess.Popen(
        [sys.executable, "-c", HANGING, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killer = threading.Timer(30, speaker.kill)
    killer.start()
    heard: list[str] = []
    assert speaker.stdout is not None
    assert speaker.stderr is not None
    listening = threading.Thread(target=lambda: heard.extend(speaker.stderr))
    listening.start()
    try:
        assert speaker.stdout.readline() == "said all\n"
        if comes_back:
            (tmp_path / "free").touch()
        speaker.stdin.close()
        assert speaker.wait(30) == 0
    finally:
        killer.cancel()
        speaker.kill()
        listening.join()
        speaker.stdout.close()
        speaker.stderr.close()
    told = [line for line in heard if "log file" in line]
    assert sum("log file cannot be written" in line for line in told) == 1
    assert len(heard) - len(told) == 3000
    if comes_back:
        kept = (tmp_path / NAME).read_text().splitlines()
        assert len(kept) + lost_lines("".join(told), "log file works again") == len(heard)
