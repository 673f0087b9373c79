"""`python -m bundle --output FOLDER`: makes the bundle, then says how large it is and how fast it starts."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bundle.build import CannotBuild, build
from bundle.libraries import LibraryMissing
from bundle.lock import EXTRAS
from bundle.measuring import megabytes, seconds_to_consuming
from bundle.packages import CannotInstall


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bundle", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="a new one")
    parser.add_argument("--extra", choices=EXTRAS, help="with an optional part of gridsidecar")
    arguments = parser.parse_args()
    os.umask(0o022)
    root = arguments.output.resolve()
    try:
        build(root, arguments.extra)
    except (CannotBuild, CannotInstall, LibraryMissing) as error:
        sys.exit(str(error))
    print(f"{root}: {megabytes(root):.0f} MB, {seconds_to_consuming(root):.2f} s to consuming")


if __name__ == "__main__":
    main()
