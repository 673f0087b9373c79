"""Templates of notices: text with `{path.to.field}` in it, `{{` and `}}` for braces. Nothing in one is executed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

NESTED = ("data", "callback_data", "result")  # fields that have fields of their own
PLAIN = (
    *("task_id", "task_type", "status", "attempt", "error", "error_type", "last_error_type", "traceback"),
    *("retry_in", "duration", "time", "queue", "worker"),
)
KNOWN = (*PLAIN, *NESTED)

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[\w$@-]+")
_INDEX = re.compile(r"[0-9]{1,9}")

Path = tuple[str, ...]


class TemplateError(ValueError):
    """What is wrong with a template, and where."""


class Template(Struct, frozen=True):
    """Texts and the paths of fields between them."""

    written: str
    parts: tuple[str | Path, ...]

    @property
    def texts(self) -> list[str]:
        return [part for part in self.parts if isinstance(part, str)]

    @property
    def has_fields(self) -> bool:
        return any(not isinstance(part, str) for part in self.parts)

    def fill(self, shown: Callable[[Path], str]) -> str:
        """The text with `shown` of each field."""
        return "".join(part if isinstance(part, str) else shown(part) for part in self.parts)


def parse(written: str) -> Template:
    """Raises TemplateError, with all that is wrong."""
    parts: list[str | Path] = []
    problems: list[str] = []
    at = 0
    for piece in _PIECE.finditer(written):
        parts.append(written[at : piece.start()])
        at = piece.end()
        match piece[0]:
            case "{{" | "}}":
                parts.append(piece[0][0])
            case "{" | "}":
                what = "opens no field" if piece[0] == "{" else "closes none"
                problems.append(f"the {piece[0]} {_place(written, piece)} {what}: write {piece[0] * 2} for a brace")
            case _:
                names = tuple(piece[1].split("."))
                if problem := _problem(names):
                    problems.append(f"{piece[0]} {_place(written, piece)}{problem}")
                parts.append(names)
    parts.append(written[at:])
    if problems:
        raise TemplateError("; ".join(problems))
    return Template(written, tuple(part for part in parts if part))


def _problem(names: Path) -> str:
    """Empty where they name a field."""
    if not all(map(_NAME.fullmatch, names)):
        return " is no field: write names with dots between, as in {data.user.name}"
    if names[0] not in KNOWN:
        return f" begins with no known field; these are known: {', '.join(KNOWN)}"
    if len(names) > 1 and names[0] not in NESTED:
        return f": {names[0]} has no fields of its own, only {', '.join(NESTED)} have"
    return ""


def _place(written: str, piece: re.Match[str]) -> str:
    before = written[: piece.start()]
    line = f"line {before.count(chr(10)) + 1}, " if "\n" in written.strip() else ""
    return f"at {line}character {piece.start() - before.rfind(chr(10))}"


def look_up(value: Any, path: Path) -> Any:
    """What stands there in a JSON value; a name that is a number finds an item of a list. None where nothing does."""
    for name in path:
        match value:
            case dict() if name in value:
                value = value[name]
            case list() if _INDEX.fullmatch(name) and int(name) < len(value):
                value = value[int(name)]
            case _:
                return None
    return value
