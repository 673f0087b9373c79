"""Root file systems that share nothing with this machine, and programs in them as a container engine starts them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.copying import copy_file
from bundle.elf import read_elf
from bundle.libraries import needed_by
from tests.support.waiting import eventually

PROJECT = Path(__file__).parents[2]
BUNDLE = "/opt/gridsidecar"
BUSYBOX = Path("/bin/busybox")
DEVICES = {"null": (1, 3), "zero": (1, 5), "urandom": (1, 9)}

# $1: the root, $2: the bundle, $3: its place in the root, $4: who, $5: options of the root's mount; then the command.
# All that is mounted is gone with the last process.
ENTER = """
set -e
root=$1 bundle=$2 place=$3 who=$4 options=$5; shift 5
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mkdir -p "$root$place"
mount --bind "$bundle" "$root$place"
mount -o remount,bind,ro "$root$place"
mount -o "remount,bind,$options" "$root"
exec /usr/sbin/chroot --userspec="$who" "$root" "$@"
"""


def build_bundle(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bundle", "--output", folder]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)


def missing_tools() -> str | None:
    """Why no such root can be made here; None where it can."""
    tools = {"busybox-static": BUSYBOX.exists(), "musl-tools": shutil.which("musl-gcc"), "nodejs": shutil.which("node")}
    needed = [package for package, there in tools.items() if not there]
    if needed:
        return f"these Debian packages are missing: {' '.join(needed)}"
    return None if os.geteuid() == 0 else "not root: no chroot"


def bare_root(folder: Path) -> Path:
    """A static busybox, what every container engine mounts, and nothing else."""
    for name in ("bin", "dev", "proc"):
        (folder / name).mkdir(parents=True)
    for name, numbers in DEVICES.items():
        os.mknod(folder / "dev" / name, 0o020666, os.makedev(*numbers))
        (folder / "dev" / name).chmod(0o666)  # whatever the umask
    (folder / "dev/fd").symlink_to("/proc/self/fd")
    copy_file(BUSYBOX, folder / "bin/busybox")
    (folder / "bin/sh").symlink_to("busybox")
    return folder


def add_program(root: Path, program: Path) -> None:
    """With all libraries that it needs, at the places where this machine has them."""
    loader = read_elf(program).loader
    for path in [program, *needed_by([program]).values(), *([Path(loader)] if loader else [])]:
        copy_file(path, root / str(path).lstrip("/"))


class Running:
    """A program in a root, as process 1 of its own. What it writes goes to one file."""

    def __init__(
        self,
        root: Path,
        bundle: Path,
        *command: str,
        environment: Mapping[str, str],
        place: str = BUNDLE,
        user: int = 0,
        options: str = "rw",
    ) -> None:
        self._log = root.with_suffix(".log")
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "enter"]
        words += [str(root), str(bundle), place, f"{user}:{user}", options]
        words += ["/bin/busybox", "env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        """Process 1 of the root as it is seen from outside."""
        outer = self._process.pid
        return int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])

    @property
    def words(self) -> list[str]:
        """The command line of process 1; empty while there is none."""
        with contextlib.suppress(OSError, IndexError):
            return Path(f"/proc/{self.pid}/cmdline").read_text().split("\0")
        return []

    @property
    def text(self) -> str:
        return self._log.read_text(errors="replace")

    def processes(self) -> list[int]:
        """All below process 1, and it."""
        found = [self.pid]
        for pid in found:
            with contextlib.suppress(OSError):  # it is gone
                found += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return found

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    async def said(self, words: str, timeout: float = 60) -> None:
        await eventually(lambda: words in self.text or self._process.poll() is not None, timeout)
        assert words in self.text, f"did not say {words!r}:\n{self.text}"

    def ended(self, timeout: float = 60) -> int:
        return self._process.wait(timeout)

    def kill(self) -> None:
        self._process.kill()  # process 1 goes with it, and everything below with that
        self._process.wait()


def write_config(root: Path, config: Mapping[str, Any]) -> str:
    """The path in the root. JSON is YAML."""
    (root / "config.yaml").write_text(json.dumps(config))
    (root / "config.yaml").chmod(0o644)
    return "/config.yaml"


def run_in(root: Path, bundle: Path, command: Sequence[str], **options: Any) -> str:
    """What a command says that must succeed."""
    running = Running(root, bundle, *command, **{"environment": {"PATH": "/bin"}, **options})
    code = running.ended()
    assert code == 0, f"{command} ended with {code}:\n{running.text}"
    return running.text
