"""Files into a bundle: readable by every user, nothing that only builds or tests need."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_NO_FILES = (".pyc", ".pyi", ".pyx", ".pxd", ".c", ".h", ".a", ".exe")
_NO_FOLDERS = {"__pycache__", "tests"}


def wanted(path: Path) -> bool:
    """Whether a file at this relative path is of use at run time."""
    return path.suffix not in _NO_FILES and not _NO_FOLDERS & set(path.parts)


def copy_file(source: Path, target: Path) -> None:
    """What a link leads to, not the link. Dates and owners are left behind."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def copy_folder(source: Path, target: Path, without: frozenset[str] = frozenset()) -> None:
    """All of it that is wanted, but for what has one of these names at its top."""
    for path in sorted(source.rglob("*")):
        place = path.relative_to(source)
        if path.is_file() and place.parts[0] not in without and wanted(place):
            copy_file(path, target / place)
