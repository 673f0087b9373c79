"""`python -m bundle --output FOLDER`: makes the bundle, then says how large it is and how fast it starts."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from bundle.build import CannotBuild, build
from bundle.libraries import LibraryMissing
from bundle.measuring import megabytes, seconds_to_consuming


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bundle", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="a new one")
    parser.add_argument("--extra", action="append", default=[], help="an optional part of gridsidecar, such as otel")
    arguments = parser.parse_args()
    os.umask(0o022)
    root = arguments.output.resolve()
    try:
        build(root, frozenset(arguments.extra))
    except (CannotBuild, LibraryMissing) as error:
        sys.exit(str(error))
    except PackageNotFoundError as error:
        sys.exit(f"{error.name} is not installed in the environment of {sys.executable}; there, run: pip install .")
    print(f"{root}: {megabytes(root):.0f} MB, {seconds_to_consuming(root):.2f} s to consuming")


if __name__ == "__main__":
    main()
