"""How a function becomes a command: its docstring is the help."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import typer


def add(app: typer.Typer, name: str, command: Callable[..., None], epilog: str = "", **context: object) -> None:
    text = inspect.getdoc(command) or ""
    app.command(name, help=_reflowed(text), epilog=_reflowed(epilog), context_settings=context)(command)


def _reflowed(text: str) -> str:
    """Paragraphs as one line each: help is as wide as its terminal."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))
