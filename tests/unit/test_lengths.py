"""Files and functions stay short enough to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = 350  # lines
BODY = 40  # lines of a function below its signature and docstring

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[Path]:
    return [*(ROOT / "gridsidecar").rglob("*.py"), *(ROOT / "sdks" / "python").rglob("*.py")]


def functions(path: Path) -> Iterator[Function]:
    tree = ast.parse(path.read_text())
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def body(function: Function) -> int:
    first = function.body[1] if ast.get_docstring(function) and len(function.body) > 1 else function.body[0]
    return (function.end_lineno or 0) - first.lineno + 1


def test_no_file_is_too_long() -> None:
    lengths = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in sources()}
    assert len(lengths) > 300
    assert {name: lines for name, lines in lengths.items() if lines > FILE} == {}


def test_no_function_is_too_long() -> None:
    long = {f"{path.relative_to(ROOT)}:{each.name}": body(each) for path in sources() for each in functions(path)}
    assert {name: lines for name, lines in long.items() if lines > BODY} == {}
