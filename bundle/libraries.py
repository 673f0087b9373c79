"""The shared libraries of a bundle: all that its files need, and what those need."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from bundle.elf import Elf, is_elf, read_elf

# What the C library opens by name, later: for the end of a thread; for users and names of hosts, before glibc 2.34.
_OPENED_LATER = ("libgcc_s.so.1", "libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")


class LibraryMissing(Exception):
    """A file needs a library that this machine does not have."""


def elf_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink() and is_elf(path)]


def needed_by(files: Iterable[Path]) -> dict[str, Path]:
    """Each library by the name that it is asked for, with the place where this machine has it. LibraryMissing."""
    found: dict[str, Path] = {}
    todo = [read_elf(path) for path in files]
    for name in _OPENED_LATER:
        if (path := _installed(name, todo[0])) is not None:
            found[name] = path
            todo.append(read_elf(path))
    while todo:
        elf = todo.pop()
        for name in elf.needed:
            if name not in found:
                found[name] = _locate(name, elf)
                todo.append(read_elf(found[name]))
    return found


def _locate(name: str, elf: Elf) -> Path:
    beside = (folder / name for folder in elf.folders)
    path = next((path for path in beside if path.is_file()), None) or _installed(name, elf)
    if path is None:
        raise LibraryMissing(f"{elf.path} needs {name}, which this machine does not have")
    return path


def _installed(name: str, elf: Elf) -> Path | None:
    """Where the machine's own loader would find it."""
    candidates = (path for path in _cache()[name] if path.is_file() and is_elf(path))
    return next((path for path in candidates if read_elf(path).machine == elf.machine), None)


@cache
def _cache() -> Mapping[str, Sequence[Path]]:
    ldconfig = shutil.which("ldconfig") or "/sbin/ldconfig"
    lines = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=True).stdout
    found: dict[str, list[Path]] = defaultdict(list)
    for name, path in re.findall(r"^\t(\S+) \(.*\) => (\S+)$", lines, re.MULTILINE):
        found[name].append(Path(path))
    return found
