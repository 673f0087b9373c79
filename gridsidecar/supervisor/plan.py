"""What a supervisor and its processes are to do: settings that all of them share, whatever becomes of the file."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec import Struct
from msgspec.structs import asdict

from gridsidecar import failpoints, telemetry
from gridsidecar.clock import SystemClock
from gridsidecar.runtime import signals
from gridsidecar.telemetry.file import LogFile

if TYPE_CHECKING:
    from gridsidecar.config.settings import Settings


class Plan(Struct, frozen=True):
    """It holds secrets: it travels in a file without a name, and never on a command line."""

    settings: dict[str, Any]  # of the whole sidecar, as JSON
    recipes: dict[str, str]  # of URLs of which files hold a part
    processes: int
    shared: dict[str, int]  # types that run less tasks at a time than there are processes, and how many
    fail_fast: bool
    marks: str  # what is started below has one of these: see handler.reaper
    failpoints: str  # of the first processes, not of those that replace them

    @classmethod
    def read(cls, fd: int) -> Plan:
        return cls(**json.loads(os.pread(fd, os.fstat(fd).st_size, 0)))

    def write(self) -> int:
        """An open file that programs started from here inherit."""
        fd = os.memfd_create("gridsidecar-plan", 0)
        os.set_inheritable(fd, True)
        with open(fd, "wb", closefd=False) as file:
            file.write(json.dumps(asdict(self)).encode())
        return fd


def become_supervisor(settings: Settings, *, fail_fast: bool) -> NoReturn:
    """This program is replaced by a small one: what read the settings would take 40 MiB all the time."""
    from gridsidecar.config.load import recipes_of
    from gridsidecar.config.processes import processes_of, shared_types

    name = settings.worker.name or f"{socket.gethostname()}-{os.getpid()}"
    whole = settings.model_copy(update={"worker": settings.worker.model_copy(update={"name": name})})
    processes = processes_of(settings)
    fd = Plan(
        settings=whole.model_dump(by_alias=True),
        recipes=recipes_of(settings),
        processes=processes,
        shared=shared_types(settings, processes),
        fail_fast=fail_fast,
        marks=secrets.token_hex(3),
        failpoints=failpoints.armed_as,
    ).write()
    telemetry.finish()
    for number in range(3):
        os.set_inheritable(number, True)  # also where we opened it ourselves
    with signals.blocked():
        os.execv(sys.executable, python("gridsidecar.supervisor", fd))  # noqa: S606  # no shell is wanted


def python(module: str, *arguments: object) -> list[str]:
    """The command line of one of our own modules. It is found where this one was, and nothing else that lies in the
    current folder is taken for a module."""
    home = Path(__file__).parents[2]
    safe = [] if home == Path.cwd() else ["-P"]
    return [sys.executable, *safe, "-m", module, *map(str, arguments)]


def open_log(plan: Plan, fd: int) -> None:
    """One log for all: the same stderr, where whole lines come one after the other, and the same file. `fd` is the
    plan's; opened anew, it is what the processes lock against each other."""
    log = plan.settings["log"]
    telemetry.free_stderr(_opened_anew(fd))
    file = LogFile(log["dir"], SystemClock()) if log["dir"] else None
    telemetry.configure(log["level"], log["format"], language=log["language"], file=file)


def _opened_anew(fd: int) -> int | None:
    """None without /proc: long lines may then be mixed."""
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
