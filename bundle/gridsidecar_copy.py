"""`bin/gridsidecar-copy TARGET`: the bundle that this runs from, copied into a folder; for an init container."""

import errno
import os
import shutil
import sys
from pathlib import Path

BUNDLE = Path(sys.executable).parents[1]


class CannotCopy(Exception):
    """The message says what to change."""


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: gridsidecar-copy TARGET: copies this bundle; TARGET/bin/gridsidecar then starts the copy")
    try:
        copy(Path(sys.argv[1]))
    except CannotCopy as error:
        sys.exit(f"gridsidecar-copy: {error}")


def copy(target: Path) -> None:
    """Again into the same folder, as when an init container is repeated, replaces each file at once."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        if os.statvfs(target).f_flag & os.ST_NOEXEC:
            raise CannotCopy(f"{target} is mounted noexec: nothing in it can be started; mount a volume without noexec")
        _copy_all(target)
    except OSError as error:
        hint = "; it takes 80 MB" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        place = error.filename2 or error.filename or target  # of a copy that fails, the first is what was read
        raise CannotCopy(f"cannot write {place}: {error.strerror}{hint}") from error


def _copy_all(target: Path) -> None:
    for folder, _, names in os.walk(BUNDLE):
        place = target / Path(folder).relative_to(BUNDLE)
        place.mkdir(exist_ok=True)
        if place != target:
            place.chmod(0o755)  # whatever the umask: the app's user may be another
        for name in names:
            new = place / f".{name}.new"
            new.unlink(missing_ok=True)
            shutil.copy(Path(folder) / name, new, follow_symlinks=False)
            new.rename(place / name)


if __name__ == "__main__":
    main()
