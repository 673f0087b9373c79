"""The command line as its users meet it: a process, with its stdout and stderr apart."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gridsidecar.failpoints import VARIABLE
from tests.support import forked

ROOT = Path(__file__).parents[2]
PROGRAM = "gridsidecar"
LIMIT = 60  # seconds
INTERRUPT = "\x03"  # what Ctrl-C is to a terminal
Finished = subprocess.CompletedProcess[str]


def gridsidecar(
    folder: Path,
    *arguments: str,
    stdin: str | bytes = b"",
    env: Mapping[str, str] | None = None,
    anew: bool = False,
    limit: float = LIMIT,
    program: str = PROGRAM,
) -> Finished:
    """One run to its end, in a folder of its own; stdout and stderr are pipes. `anew`: it is started, not forked."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = forked.run(
        command(*arguments, program=program), given, limit, cwd=folder, env=environment(folder, env), anew=anew
    )
    return Finished(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def start(folder: Path, *arguments: str, failpoints: str = "", **streams: Any) -> subprocess.Popen[str]:
    """One run that goes on; the caller ends it."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    program, armed = ("tests.support.armed", {VARIABLE: failpoints}) if failpoints else (PROGRAM, {})
    return forked.start(
        command(*arguments, program=program),
        text=True,
        cwd=folder,
        env=environment(folder, armed),
        start_new_session=True,
        **pipes,
    )


def command(*arguments: str, program: str = PROGRAM) -> list[str]:
    return [sys.executable, "-m", program, *arguments]


def environment(folder: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    plain = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "TZ": "UTC"}
    return {**plain, "TMPDIR": str(folder), **(extra or {})}


def on_terminal(
    folder: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    interrupt_at: str | None = None,
    answers: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """One run with everything on a terminal of 80 x 24; exit code and all that was written.

    `interrupt_at` presses Ctrl-C once these words have appeared and it waits for more; `answers` types a line as soon
    as its words appear.
    """
    typed = {words: f"{line}\r" for words, line in (answers or {}).items()}
    if interrupt_at is not None:
        typed[interrupt_at] = INTERRUPT
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    process = forked.start(
        command(*arguments),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=folder,
        env=environment(folder, {"TERM": "xterm-256color", **(env or {})}),
        start_new_session=True,
        terminal=True,
    )
    os.close(follower)
    try:
        written = _read(leader, typed, process.pid)
        return process.wait(LIMIT), written
    finally:
        os.close(leader)
        if process.poll() is None:
            process.kill()
            process.wait()


def _read(leader: int, typed: dict[str, str], pid: int) -> str:
    written = b""
    while True:
        ready, _, _ = select.select([leader], [], [], LIMIT)
        assert ready, f"nothing for {LIMIT} s after {written[-500:]!r}"
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # how Linux tells that nobody writes any more
            return written.decode()
        written += chunk
        for words in [words for words in typed if words.encode() in written]:
            keys = typed.pop(words)
            while keys == INTERRUPT and _works(pid):  # Python loses it just before it reads; no person is so quick
                time.sleep(0.01)
            os.write(leader, keys.encode())


def _works(pid: int) -> bool:
    """It is there, and waits for nothing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
    except FileNotFoundError:
        return False


def write_config(folder: Path, handlers: Mapping[str, Any], **sections: Any) -> Path:
    """A configuration on one SQLite file in the folder; JSON is YAML."""
    url = f"sqlite:///{folder}/q.db"
    path = folder / "config.yaml"
    config = {"broker": {"url": url}, "store": {"url": url}, "progress_interval": 0.1, "handlers": handlers, **sections}
    path.write_text(json.dumps(config))
    return path


def work(folder: Path, *flags: str) -> Finished:
    """A worker that leaves when the queue is empty."""
    done = gridsidecar(folder, "run", "--burst", "--burst-check-interval", "0.1", *flags)
    assert done.returncode == 0, done.stderr
    return done


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> int:
    """Signal it and wait for its end."""
    if process.poll() is None:
        process.send_signal(number)
    process.communicate(timeout=LIMIT)
    return process.returncode
