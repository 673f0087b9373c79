"""Programs of ours forked from a process that has the package loaded: a start costs half a second of work, a fork none.

What is forked is a process like any other, and a child of whoever asked. It has its own arguments, environment, folder,
descriptors and session, and runs the module as `python -m` does. What Python itself reads when it starts cannot be told
to it afterwards: whoever asks for such a thing gets a program that is started (`fits` says what that is).
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import re
import resource
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SERVER = "tests.support.forking"
MODULES = ("gridsidecar", "tests.support.armed")
PLAIN = frozenset({"stdin", "stdout", "stderr", "cwd", "env", "text", "start_new_session"})  # options of Popen
# Variables that are read before the first line of ours runs: by Python, by the dynamic linker, by libraries at import.
AT_START = re.compile(r"(PYTHON|LD_|MALLOC_|GLIBC_|TYPER_|_TYPER_|PYDANTIC_).*|TERMINAL_WIDTH|FORCE_COLOR|PY_COLORS")
UTF8 = re.compile(r".*\.utf-?8", re.IGNORECASE)


def start(
    command: Sequence[str], *, anew: bool = False, terminal: bool = False, **options: Any
) -> subprocess.Popen[Any]:
    """As `subprocess.Popen`, forked where that makes no difference; never with `anew`.

    With `terminal`, stdin is a terminal that becomes its own; it has a session of its own then.
    """
    if not anew and fits(command, options):  # takes it in any case
        return _Forked(command, **options)
    if terminal:
        options["preexec_fn"] = _take_terminal
    return subprocess.Popen(command, **options)


def run(command: Sequence[str], stdin: bytes, limit: float, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """To its end, within `limit` seconds, as `subprocess.run`; stdout and stderr are pipes."""
    pipe = subprocess.PIPE
    with start(command, stdin=pipe, stdout=pipe, stderr=pipe, **options) as process:
        try:
            out, err = process.communicate(stdin, timeout=limit)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def fits(command: Sequence[str], options: Mapping[str, Any]) -> bool:
    """Whether a fork shows the same as a start."""
    env = options.get("env")
    return (
        [*command[:2]] == [sys.executable, "-m"]
        and command[2] in MODULES
        and set(options) <= PLAIN
        and env is not None
        and env.get("PYTHONPATH") == str(ROOT)
        and not any(AT_START.fullmatch(name) for name in env if name != "PYTHONPATH")
        and UTF8.fullmatch(env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG", "")) is not None
        and _server.usable()
    )


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class _Forked(subprocess.Popen[Any]):
    """All but the start is subprocess's own."""

    def _execute_child(self, args: Sequence[str], *rest: Any) -> None:
        cwd, env, pipes, new_session = rest[4], rest[5], rest[9:15], rest[20]
        streams = (pipes[0], pipes[3], pipes[5])  # its ends; -1 where it is to have our own descriptor
        asked = {
            "module": args[2],
            "command": [*map(str, args)],
            "folder": os.path.realpath(cwd or "."),
            "environment": {**env},
            "session": new_session,
            "umask": _umask(),
            "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        }
        self.pid = _server.fork(asked, [own if fd == -1 else fd for own, fd in enumerate(streams)])
        self._child_created = True
        self._close_their_ends(streams, (pipes[1], pipes[2], pipes[4]))

    def _close_their_ends(self, theirs: Sequence[int], ours: Sequence[int]) -> None:
        """Of pipes, and of /dev/null where it was asked for."""
        pipes = {fd for fd, other in zip(theirs, ours, strict=True) if other != -1}
        for fd in pipes | ({self._devnull} if hasattr(self, "_devnull") else set()):
            os.close(fd)
        self._closed_child_pipe_fds = True


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


class _Server:
    """One for this process, from the first time that it is asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def usable(self) -> bool:
        """Started here, loaded, and on a system where it can do what it is for."""
        with self._lock:
            if self._process is None:
                self._begin()
            return self._line is not None

    def fork(self, asked: Mapping[str, Any], streams: Sequence[int]) -> int:
        """The process number of the new program."""
        assert self._line is not None
        page = os.memfd_create("asked")
        try:
            os.write(page, json.dumps(asked).encode())
            with self._lock:
                socket.send_fds(self._line, [b"."], [page, *streams])
                pid = int.from_bytes(self._line.recv(4), "little")
        finally:
            os.close(page)
        assert pid, "the process that forks is gone"
        return pid

    def _begin(self) -> None:
        line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", SERVER, str(theirs.fileno()), "." * 4096],  # room for other command lines
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"},
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self._end)
        if line.recv(1) == b"+":
            self._line = line
        else:
            line.close()

    def _end(self) -> None:
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            self._process.wait()


_server = _Server()
