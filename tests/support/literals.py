"""What the code says: every text that is written out in it, with `{}` where a value goes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct


class Literal(Struct, frozen=True):
    text: str
    place: str  # file:line


def literals(package: Path) -> Iterator[Literal]:
    """The texts of a package, paragraph by paragraph; docstrings and the messages of `assert` are none."""
    for file in sorted(package.rglob("*.py")):
        tree = ast.parse(file.read_text())
        skipped = set(_never_said(tree))
        name = file.relative_to(package).as_posix()
        for node in ast.walk(tree):
            if id(node) not in skipped and (text := template(node)) is not None:
                for paragraph in paragraphs(text):
                    yield Literal(paragraph, f"{name}:{getattr(node, 'lineno', 0)}")


def template(node: ast.AST) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in values)
    return None


def paragraphs(text: str) -> Iterator[str]:
    """As help shows them: the lines of each put together."""
    for paragraph in text.split("\n\n"):
        if found := " ".join(paragraph.split()) if "\n" in paragraph else paragraph.strip():
            yield found


def _never_said(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant() as docstring):
                yield id(docstring)
            case ast.JoinedStr(values=values):
                yield from map(id, values)
            case ast.Assert(msg=ast.expr() as message):
                yield from map(id, ast.walk(message))
