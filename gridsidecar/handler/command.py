"""Whether a command can be started, and in words for people why not."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

from gridsidecar.language import counted

FEW_FOLDERS = 2  # of PATH, which can be named one by one
_SHEBANG_BYTES = 256  # what the kernel reads of a script's first line
_WORD = re.compile(rb"[^ \t]+")  # to the kernel a CR belongs to the name

_INTERPRETERS = ("python", "node", "ruby", "perl", "php", "bash", "sh", "dash", "zsh")
_SEARCHING = ("bash", "zsh")  # they look into PATH, too, for a script that is a bare name
_SCRIPTS = (".py", ".js", ".mjs", ".cjs", ".rb", ".pl", ".php", ".sh")

_ADVICE = {
    errno.ENOEXEC: "it has no `#!` first line and is no program for this machine; add `#!/bin/sh` or build it anew",
    errno.E2BIG: "its arguments and environment are too large; shorten `command`, `env` or `pass_env`",
    errno.EMFILE: "this process has too many open files; raise its limit (ulimit -n) or lower worker.concurrency",
    errno.ENFILE: "the machine has too many open files; close some or raise fs.file-max",
    errno.ENOMEM: "not enough memory to start it; give the machine or container more, or lower worker.concurrency",
    errno.EAGAIN: "the limit on processes is reached; raise it (ulimit -u, pids.max) or lower worker.concurrency",
    errno.ETXTBSY: "the file is still open for writing; finish copying it",
    errno.ELOOP: "its path runs through a loop of links; correct them",
    errno.EACCES: "permission denied; check the file, every directory above it, and whether the mount allows execution",
    errno.EPERM: "the system does not permit it; check security policies of the machine or container",
}


class NotStartable(Exception):
    """One sentence: what is wrong with a command and what to do."""


class Command(Struct, frozen=True):
    """What a handler or a hook runs, and where. `env` decides which PATH is searched."""

    name: str  # of the handler or hook, for messages
    argv: tuple[str, ...]
    cwd: str | None
    env: Mapping[str, str]
    kind: Literal["handler", "hook"] = "handler"

    def locate(self) -> str:
        """The program to execute; `NotStartable` when it is not there or not executable."""
        if self.cwd is not None and not os.path.isdir(self.cwd):
            raise self._refuse(f"the directory {self.cwd} does not exist; create it or correct `cwd`")
        candidates = [
            path for path in self._candidates() if os.path.isfile(path)
        ]  # is_file raises where it may not look
        if not candidates:
            raise self._refuse(self._not_found())
        program = next((path for path in candidates if os.access(path, os.X_OK)), None)
        if program is None:
            raise self._refuse(f"{candidates[0]} is not executable; run `chmod +x {candidates[0]}`")
        if (bad := _bad_interpreter(program, self.cwd)) is not None:
            raise self._refuse(bad)
        return self.argv[0] if "/" in self.argv[0] else str(program)

    def check(self) -> str:
        """What would run, in words: the program, and the script that it is plainly given. `NotStartable` where either
        is missing; without its script the program starts all the same, and fails each task."""
        program, script = self.locate(), self._script()
        if script is None:
            return program
        folder = os.path.abspath(self.cwd or ".")
        searches = "/" not in script and Path(program).name in _SEARCHING
        places = [folder, *(os.get_exec_path(self.env) if searches else ())]
        if not any(os.path.isfile(os.path.join(place, script)) for place in places):
            keys = "`command` or `cwd`" if self.kind == "handler" else self._key
            raise self._refuse(f"there is no {script} for {program} to run, seen from {folder}; correct {keys}")
        return f"{program} {script}"

    def explain(self, error: Exception) -> str:
        """One sentence for a failed start."""
        try:
            self.locate()
        except NotStartable as known:
            return str(known)
        number = error.errno if isinstance(error, OSError) else None
        what = os.strerror(number) if number else str(error)
        advice = _ADVICE.get(number or 0, f"check {self._key}, its folder and its environment")
        return f"{self.kind} {self.name}: cannot start {self.argv[0]} ({what}): {advice}"

    @property
    def _key(self) -> str:
        """Where it stands in the configuration."""
        return "`command`" if self.kind == "handler" else f"`hooks.{self.name}`"

    def _refuse(self, problem: str) -> NotStartable:
        return NotStartable(f"{self.kind} {self.name}: {problem}")

    def _script(self) -> str | None:
        """The file that an interpreter is to run."""
        interpreter = Path(self.argv[0]).name.rstrip("0123456789.")
        if interpreter in _INTERPRETERS and len(self.argv) > 1 and self.argv[1].endswith(_SCRIPTS):
            return self.argv[1]
        return None

    def _candidates(self, named: str | None = None) -> list[Path]:
        program = named or self.argv[0]
        base = Path(self.cwd or ".")
        if "/" in program:
            return [base / program]
        return [base / directory / program for directory in os.get_exec_path(self.env)]

    def _not_found(self) -> str:
        words = self.argv[0].split()
        if len(self.argv) == 1 and len(words) > 1 and any(map(os.path.isfile, self._candidates(words[0]))):
            return f"{self.argv[0]} is not a program; give each of its words by itself, as {json.dumps(words)}"
        if "/" in self.argv[0]:
            return f"{self._candidates()[0]} does not exist; create it or correct {self._key}"
        folders = os.get_exec_path(self.env)
        searched = counted(len(folders), "folder") if len(folders) > FEW_FOLDERS else os.pathsep.join(folders)
        return f"{self.argv[0]} is not in PATH ({searched}); install it or give its full path in {self._key}"


def _bad_interpreter(script: Path, cwd: str | None) -> str | None:
    try:
        with script.open("rb") as file:
            first = file.read(_SHEBANG_BYTES).split(b"\n")[0]
    except OSError:
        return None  # executable but not readable is fine for a program
    words = _WORD.findall(first[2:]) if first.startswith(b"#!") else []
    if not words or os.access(os.path.join(os.fsencode(cwd or "."), words[0]), os.X_OK):
        return None
    interpreter = words[0].decode("utf-8", "backslashreplace")
    hint = "; the line ends in CR LF, write it with LF" if first.endswith(b"\r") else ""
    return (
        f"{script} names the interpreter {interpreter!r}, which cannot be executed; "
        f"install it or correct the first line{hint}"
    )
