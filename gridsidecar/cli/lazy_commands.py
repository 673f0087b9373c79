"""How a function becomes a command: its docstring is the help. A command is loaded when it is asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import typer


def add(app: typer.Typer, name: str, command: Callable[..., None], epilog: str = "", **context: object) -> None:
    text = inspect.getdoc(command) or ""
    app.command(name, help=_reflowed(text), epilog=_reflowed(epilog), context_settings=context)(command)


def _reflowed(text: str) -> str:
    """Paragraphs as one line each: help is as wide as its terminal."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


class LazyCommands(Mapping[str, Any]):
    """By name, each from `module` or `module:function` of this package, and prepared once. A module has its texts
    beside its function: `EPILOG`, or `FUNCTION_EPILOG` where it has several; and `CONTEXT`, settings of the parser."""

    def __init__(self, sources: Mapping[str, str], prepare: Callable[[Any], None]) -> None:
        self._sources = sources
        self._prepare = prepare
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            command = typer.main.get_command(_app(name, self._sources[name]))
            command.name = name
            self._prepare(command)
            self._loaded[name] = command
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._sources

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def _app(name: str, source: str) -> typer.Typer:
    module_name, _, function = source.partition(":")
    module = import_module(f"gridsidecar.cli.{module_name}")
    if not function:
        group: typer.Typer = module.app
        return group
    app = typer.Typer(add_completion=False)
    epilog = getattr(module, f"{function.upper()}_EPILOG", getattr(module, "EPILOG", ""))
    add(app, name, getattr(module, function), epilog, **getattr(module, "CONTEXT", {}))
    return app
