"""`replace` of msgspec takes any keyword: a type checker does not see one that is no field."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "gridsidecar"


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in PACKAGE.rglob("*.py"):
        yield path, ast.parse(path.read_text())


def test_each_keyword_is_a_field() -> None:
    fields: set[str] = set()
    used: dict[str, str] = {}
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                fields |= {
                    line.target.id
                    for line in node.body
                    if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
                }
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "replace":
                used |= {keyword.arg: f"{path.name}:{node.lineno}" for keyword in node.keywords if keyword.arg}
    assert len(used) > 20
    assert {place: name for name, place in used.items() if name not in fields} == {}
