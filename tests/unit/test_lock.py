"""The locks of images and bundles: they hold what pyproject.toml asks for, as it was when it was looked at."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bundle.lock import EXTRAS, LOCK, PROJECT

LOCKS = [LOCK, *EXTRAS.values()]
PIN = re.compile(
    r"^([a-z0-9-]+)==(\S+)(?: ; [^\\]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)
PROJECT_TABLE: dict[str, Any] = tomllib.loads(PROJECT.read_text())["project"]


def pins(lock: Path) -> dict[str, str]:
    return {name: version for name, version, _ in PIN.findall(lock.read_text())}


def unmet(wanted: Iterable[str], locked: dict[str, str]) -> set[str]:
    """Requirements that no pin satisfies, with those of their extras, and of all that they need."""
    return {str(each) for each in _closure(wanted, locked) if not _satisfied(each, locked)}


def _satisfied(requirement: Requirement, locked: dict[str, str]) -> bool:
    found = locked.get(canonicalize_name(requirement.name))
    return found is not None and requirement.specifier.contains(found, prereleases=True)


def _closure(wanted: Iterable[str], locked: dict[str, str]) -> Iterator[Requirement]:
    seen: set[str] = set()
    todo = [(Requirement(words), frozenset[str]()) for words in wanted]
    while todo:
        requirement, extras = todo.pop()
        if str(requirement) in seen or not _asked_for(requirement, extras):
            continue
        seen.add(str(requirement))
        yield requirement
        inner = frozenset(requirement.extras)
        todo += [(Requirement(words), inner) for words in _needs(requirement.name, locked)]


def _asked_for(requirement: Requirement, extras: frozenset[str]) -> bool:
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": each}) for each in extras | {""})


def _needs(name: str, locked: dict[str, str]) -> list[str]:
    """Where this environment has the very version that is locked: another may need other things."""
    try:
        return (requires(name) or []) if version(name) == locked.get(canonicalize_name(name)) else []
    except PackageNotFoundError:
        return []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_it_is_made_of_pins_with_hashes_and_names_no_host(lock: Path) -> None:
    rest = PIN.sub("", lock.read_text())
    assert [line for line in rest.splitlines() if not re.fullmatch(r"\s*#.*", line)] == []
    assert "://" not in lock.read_text()
    assert len(pins(lock)) > 30


def test_it_holds_all_that_the_project_needs() -> None:
    again = "python -m bundle.lock"
    assert unmet(PROJECT_TABLE["dependencies"], pins(LOCK)) == set(), again
    for extra, lock in EXTRAS.items():
        wanted = PROJECT_TABLE["dependencies"] + PROJECT_TABLE["optional-dependencies"][extra]
        assert unmet(wanted, pins(lock)) == set(), again
        assert pins(LOCK).items() <= pins(lock).items()


def test_what_is_new_in_the_project_is_missed() -> None:
    locked = pins(LOCK)
    assert unmet(["no-such-thing>=1"], locked) == {"no-such-thing>=1"}
    assert unmet([f"msgspec>{locked['msgspec']}"], locked) == {f"msgspec>{locked['msgspec']}"}
    without = {name: pin for name, pin in locked.items() if name != "cryptography"}
    assert {Requirement(each).name for each in unmet(["aiomysql[rsa]"], without)} == {"cryptography"}
