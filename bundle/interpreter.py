"""Python itself: the program, its loader, and the part of the standard library that a server process may use."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from bundle.copying import copy_file, copy_folder

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_UNUSED = frozenset(
    {
        *("test", "idlelib", "tkinter", "turtledemo", "turtle.py", "ensurepip", "venv", "lib2to3", "distutils"),
        *("pydoc_data", "pydoc.py", "unittest", "doctest.py", "curses", "dbm", "site-packages", "dist-packages"),
        *("antigravity.py", "this.py", "sitecustomize.py", "lib-dynload", "EXTERNALLY-MANAGED"),
    }
)
_UNUSED_MODULES = (
    *("_test*", "_ctypes_test*", "xx*", "_xx*", "_tkinter*", "readline*", "_curses*", "_dbm*", "_gdbm*", "_lsprof*"),
    *("nis.*", "ossaudiodev*", "audioop*", "spwd*", "_crypt*"),  # nis brings Kerberos along
)


def copy_interpreter(lib: Path) -> Path:
    """Into the folder `lib`; returns the program's place on this machine."""
    program = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]  # also from a virtual environment
    copy_file(program, lib / "python")
    standard = Path(sysconfig.get_path("stdlib"))
    copy_folder(standard, lib / VERSION, without=_UNUSED | {path.name for path in standard.glob("config-*")})
    for module in sorted((standard / "lib-dynload").glob("*.so")):
        if not any(fnmatch(module.name, pattern) for pattern in _UNUSED_MODULES):
            copy_file(module, lib / VERSION / "lib-dynload" / module.name)
    return program


def strip(files: Iterable[Path]) -> None:
    """Without what debuggers read, which is most of many a library."""
    subprocess.run(["strip", "--strip-unneeded", *files], check=True, capture_output=True)
