"""`python -m website --output FOLDER` builds the site; whatever it cannot find ends it. Needs the extra `docs`."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from website.links import broken_links
from website.pages import BrokenLink, Pages, place_of

ROOT = Path(__file__).parents[1]
LAYOUT = Path(__file__).with_name("mkdocs.yml")


def main() -> int:
    """The exit code: 0 built, 1 not, with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m website", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="made anew")
    output = parser.parse_args().output.resolve()
    with tempfile.TemporaryDirectory() as folder:
        layout = yaml.safe_load(LAYOUT.read_text())
        try:
            pages = Pages(ROOT, Path(folder) / "docs")
            for page in pages_of(layout["nav"]):
                pages.copy(page)
        except BrokenLink as problem:
            print(problem, file=sys.stderr)
            return 1
        shutil.copy(LAYOUT.with_name("site.css"), Path(folder) / "docs")
        shutil.copy(LAYOUT.with_name("hooks.py"), folder)
        (Path(folder) / "mkdocs.yml").write_text(
            yaml.safe_dump(layout | {"nav": _moved(layout["nav"])}, allow_unicode=True)
        )
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", output]
        if subprocess.run(command, cwd=folder, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}).returncode:
            return 1
    broken = list(broken_links(output))
    print("\n".join(broken), file=sys.stderr, end="\n" if broken else "")
    return 1 if broken else 0


def pages_of(nav: list[Any]) -> Iterator[str]:
    """The paths of pages in a navigation, in the repository."""
    for entry in nav:
        for page in entry.values():
            if isinstance(page, str):
                yield page
            else:
                yield from pages_of(page)


def _moved(nav: list[Any]) -> list[Any]:
    """The same navigation by the paths of the site."""
    return [{title: _place(page) for title, page in entry.items()} for entry in nav]


def _place(page: str | list[Any]) -> str | list[Any]:
    return str(place_of(PurePosixPath(page))) if isinstance(page, str) else _moved(page)


if __name__ == "__main__":
    sys.exit(main())
