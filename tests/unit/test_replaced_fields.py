"""`replace` of msgspec takes any keyword: a type checker does not see one that is no field."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "gridsidecar"


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in PACKAGE.rglob("*.py"):
        yield path, ast.parse(path.read_text())


def test_the_keywords_of_each_call_are_fields_of_one_class() -> None:
    fields: dict[str, set[str]] = {}
    used: dict[str, set[str]] = {}
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                fields[node.name] = fields.get(node.name, set()) | {
                    line.target.id
                    for line in node.body
                    if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
                }
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "replace":
                used[f"{path.name}:{node.lineno}"] = {keyword.arg for keyword in node.keywords if keyword.arg}
    assert len(used) > 20
    known = list(fields.values())
    assert {place: names for place, names in used.items() if not any(names <= one for one in known)} == {}
