"""`python -m tests.support.forking FD`: has the package loaded, and forks a program for each request that comes.

The new process is a child of the one that asked, not of this one (CLONE_PARENT): it is waited for, signalled and seen
in /proc as if it had been started there.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import platform
import resource
import runpy
import signal
import socket
import sys
import termios
import threading
import time
from typing import Any, TextIO

CLONE = {"x86_64": 56, "aarch64": 220}  # the system call's number
CLONE_PARENT = 0x00008000
CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID = 0x00200000, 0x01000000
PR_GET_TID_ADDRESS = 40
LATER = ("tty", "rich.console", "typer.rich_utils", "uvloop")  # loaded by some commands only, while they run


def main(fd: int) -> None:
    line = socket.socket(fileno=fd)
    load()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who use it
    gc.collect()
    gc.freeze()
    gc.disable()
    if can_fork():
        line.send(b"+")
        if (given := until_asked(line)) is not None:
            become(*given)


def load() -> None:
    import gridsidecar

    for module in pkgutil.walk_packages(gridsidecar.__path__, "gridsidecar."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in LATER:
        importlib.import_module(name)


def can_fork() -> bool:
    alone = threading.active_count() == 1 and len(os.listdir("/proc/self/task")) == 1
    return alone and platform.machine() in CLONE and tid_address() != 0


def until_asked(line: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Returns in each new process what it is to be; None here, when whoever asks is gone."""
    while True:
        _, fds, _, _ = socket.recv_fds(line, 1, 4)
        if not fds:
            return None
        pid = fork()
        if pid == 0:
            line.close()
            with open(fds[0], "rb") as page:
                page.seek(0)
                return json.load(page), fds[1:]
        line.send(pid.to_bytes(4, "little"))
        for fd in fds:
            os.close(fd)


def fork() -> int:
    """As `os.fork`, but the child's parent is ours. The C library keeps the thread's number in memory: the kernel is
    to write the new one there, as it does for the library's own fork."""
    flags = CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | signal.SIGCHLD
    tid = ctypes.c_void_p(tid_address())
    nothing = ctypes.c_void_p(0)
    number = ctypes.c_long(CLONE[platform.machine()])
    api = ctypes.pythonapi
    api.PyOS_BeforeFork()
    pid = api.syscall(number, ctypes.c_ulong(flags), nothing, nothing, tid, tid)  # the 4th or the 5th counts
    (api.PyOS_AfterFork_Child if pid == 0 else api.PyOS_AfterFork_Parent)()
    if pid < 0:
        raise OSError("cannot fork")
    return int(pid)


def tid_address() -> int:
    """0 where the system does not tell."""
    address = ctypes.c_void_p()
    ctypes.CDLL(None).prctl(PR_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0)
    return address.value or 0


def become(asked: dict[str, Any], streams: list[int]) -> None:
    """The program that was asked for; ends with this process, as a started one does."""
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
    for fd in streams:
        os.close(fd)
    if asked["session"]:
        os.setsid()
        if os.isatty(0):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(asked["folder"])
    os.umask(asked["umask"])
    resource.setrlimit(resource.RLIMIT_NOFILE, asked["files"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    show_command(asked["command"])
    open_streams()
    new_identity()
    sys.path[0] = asked["folder"]
    sys.argv = ["", *asked["command"][3:]]
    gc.enable()
    try:
        runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            leave(end.code or 0)
        raise


def leave(code: int) -> None:
    """As Python ends, but that it takes no module apart, which costs more than most commands do."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):  # a reader is gone or a disk is full: then Python is to end it
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # given up, as nobody reads it
                stream.flush()
        os._exit(code & 0xFF)


def show_command(command: list[str]) -> None:
    """In /proc/PID/cmdline, as far as there is room."""
    with open("/proc/self/stat", "rb") as file:
        begin, end = map(int, file.read().rpartition(b")")[2].split()[45:47])
    text = b"".join(os.fsencode(word) + b"\0" for word in command)
    ctypes.memmove(begin, text[: end - begin - 1].ljust(end - begin, b"\0"), end - begin)


def open_streams() -> None:
    """As Python does when it starts."""
    sys.stdin = sys.__stdin__ = _stream(0, "rb", sys.stdin)
    sys.stdout = sys.__stdout__ = _stream(1, "wb", sys.stdout)
    sys.stderr = sys.__stderr__ = _stream(2, "wb", sys.stderr)


def _stream(fd: int, mode: str, ours: TextIO) -> io.TextIOWrapper:
    lines = fd == 2 or os.isatty(fd)
    return io.TextIOWrapper(open(fd, mode, closefd=False), ours.encoding, ours.errors, line_buffering=lines)


def new_identity() -> None:
    """What a module made up when it was loaded, for this process alone."""
    from gridsidecar.handler import reaper

    reaper._family = reaper._Family()


if __name__ == "__main__":
    main(int(sys.argv[1]))
