"""`replace` of msgspec takes any keyword: a type checker does not see one that is no field."""

from __future__ import annotations

import ast
from pathlib import Path

from gridsidecar.rules.task import Message

PACKAGE = Path(__file__).parents[2] / "gridsidecar"
NODES = [(path, node) for path in PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
FIELDS = {
    line.target.id
    for _, node in NODES
    if isinstance(node, ast.ClassDef)
    for line in node.body
    if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
}


def test_each_keyword_is_a_field() -> None:
    """Of any of our classes; of `Message`, which is copied most, where it is one by its name."""
    strangers, copies = [], 0
    for path, node in NODES:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "replace":
            copied = ast.unparse(node.args[0])
            fields = set(Message.__struct_fields__) if "message" in copied or "produced(" in copied else FIELDS
            strangers += [f"{path.name}:{node.lineno} {each.arg}" for each in node.keywords if each.arg not in fields]
            copies += 1
    assert copies > 50
    assert [each for each in strangers if not each.endswith(" None")] == []
