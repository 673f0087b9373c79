"""A name of a module means one thing: a second one of the same name takes the place of the first, without a word."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.support.matrix import SUITES
from tests.unit.test_lengths import ROOT, sources


def given(path: Path) -> Iterator[str]:
    """The names that its top level assigns, and those of its classes and functions."""
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                named = [each for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
                yield from (each.id for each in named if isinstance(each.ctx, ast.Store))


def test_no_name_is_given_twice() -> None:
    twice = {
        f"{path.relative_to(ROOT)}:{name}"
        for path in sources()
        for name, times in Counter(given(path)).items()
        if times > 1
    }
    assert twice == set()


def test_the_suites_for_newer_servers_are_there() -> None:
    missing = [place for places in SUITES.values() for place in places if not (ROOT / place).exists()]
    assert missing == []
