"""gridsidecar from this checkout, and all that its lock names."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from bundle.copying import copy_file, copy_folder
from bundle.lock import CHECKOUT, PROJECT, lock_of

OURS = "gridsidecar"
_PROGRAMS = frozenset({"bin"})


class CannotInstall(Exception):
    """The message is pip's."""


def copy_packages(place: Path, extra: str | None) -> None:
    """Into the folder `place`, with an extra of gridsidecar if one is asked for. CannotInstall."""
    wheel = tomllib.loads(PROJECT.read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for package in wheel["packages"]:
        copy_folder(CHECKOUT / package, place / package)
    for source, target in wheel["force-include"].items():
        copy_file(CHECKOUT / source, place / target)
    with tempfile.TemporaryDirectory() as folder:
        _install(lock_of(extra), Path(folder))
        copy_folder(Path(folder), place, without=_PROGRAMS)


def _install(lock: Path, folder: Path) -> None:
    """For the Python and the machine that run this."""
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--root-user-action", "ignore"]
    pip += ["--quiet", "--no-compile", "--only-binary", ":all:", "--no-deps", "--require-hashes"]
    answer = subprocess.run([*pip, "--target", folder, "--requirement", lock], capture_output=True, text=True)
    if answer.returncode != 0:
        raise CannotInstall(f"{lock.name} could not be installed:\n{answer.stderr}")
