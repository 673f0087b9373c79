"""Disks that are small or read-only, for as long as a test needs them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A disk of its own at `place`, of `size` (such as 64k)."""
    place.mkdir()
    with _mounted(place, "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs"):
        yield place


@contextmanager
def read_only(place: Path) -> Iterator[Path]:
    """The folder at `place`, which nobody can write to; not even root."""
    place.mkdir(exist_ok=True)
    with _mounted(place, "--bind", str(place)):
        _run("mount", "-o", "remount,bind,ro", str(place))
        yield place


@contextmanager
def _mounted(place: Path, *what: str) -> Iterator[None]:
    try:
        _run("mount", *what, str(place))
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no right to mount: {error}")
    try:
        yield
    finally:
        _run("umount", "--lazy", str(place))


def _run(*command: str) -> None:
    as_root = () if os.geteuid() == 0 else ("sudo", "--non-interactive")
    subprocess.run([*as_root, *command], check=True)
