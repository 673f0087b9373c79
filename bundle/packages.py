"""gridsidecar from this checkout, and the distributions it needs from the environment that runs the build."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from bundle.copying import copy_file, copy_folder, wanted

CHECKOUT = Path(__file__).parents[1]
PROJECT = "gridsidecar"
_NO_METADATA = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def copy_packages(place: Path, extras: frozenset[str]) -> None:
    """Into the folder `place`, with the `extras` of gridsidecar that are asked for."""
    wheel = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for package in wheel["packages"]:
        copy_folder(CHECKOUT / package, place / package)
    for source, target in wheel["force-include"].items():
        copy_file(CHECKOUT / source, place / target)
    for each in closure(PROJECT, extras).values():
        for file in each.files or ():
            metadata = file.parts[0].endswith(".dist-info") and file.name not in _NO_METADATA
            package = each.name != PROJECT and ".dist-info" not in file.parts[0] and ".." not in file.parts
            if (metadata or package) and wanted(Path(file)):
                copy_file(Path(str(file.locate())), place / file)


def closure(name: str, extras: frozenset[str]) -> dict[str, Distribution]:
    """The distribution and all that it needs here, by name. PackageNotFoundError names one that is not installed."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(name, extras)]
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found[name] = found.get(name) or distribution(name)
        todo += _requirements(found[name], extras)
    return found


def _requirements(of: Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Each with the extras that are wanted of it. pip has decided which of them are for this machine."""
    for line in of.requires or ():
        requirement, _, marker = line.partition(";")
        asked = set(re.findall(r"""extra == ["']([^"']+)["']""", marker))
        if asked and not asked & extras:
            continue
        match = re.match(r"([\w.-]+)\s*(?:\[([^\]]*)\])?", requirement)
        assert match is not None, line
        name, wants = match[1], frozenset(re.findall(r"[\w.-]+", match[2] or ""))
        if not marker or _installed(name):
            yield name, wants


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
