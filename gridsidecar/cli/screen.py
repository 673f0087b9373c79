"""What reaches a terminal, and what does not: control characters of a task, colours in a file, bars in a log."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

from gridsidecar.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

_BEYOND_ASCII = re.compile(r"[^\x20-\x7e\n]")


def interactive(stream: TextIO) -> bool:
    """A person looks at it, on a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def console(stream: TextIO) -> Console:
    """A console that adds nothing of its own to texts: no markup, no emoji codes, no guessed colours."""
    from rich.console import Console

    return Console(file=stream, markup=False, emoji=False, highlight=False, soft_wrap=False)


def say(text: str) -> None:
    """Words for people, on stderr; they may contain texts of tasks."""
    print("\n".join(clean(line) for line in text.split("\n")), file=sys.stderr, flush=True)


def must_ask(yes: bool, command: str, does: str = "removes messages for good") -> bool:
    """Whether a person is to be asked first. UsageError where nobody said yes and nobody can be asked."""
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{command} {does}: without a terminal to ask on, it needs --yes")
    return not yes


def agreed(question: str) -> bool:
    """The person's answer; no is the default."""
    import typer

    return typer.confirm(clean(question), err=True)


def clean(text: str) -> str:
    """One line that is safe to show: what is not printable, line ends included, is escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def clean_text(text: str) -> str:
    """The same for text of several lines, whose line ends and tabs stay."""
    if text.isprintable():
        return text
    return "\n".join("\t".join(map(clean, line.split("\t"))) for line in text.replace("\r\n", "\n").split("\n"))


def counted(number: int, noun: str = "task") -> str:
    """1 task, 2,000 tasks"""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def cut(text: str, width: int) -> str:
    """At most `width` characters, with a mark where something is left out."""
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."


def json_text(value: Any) -> str:
    """JSON on one line for stdout: readable in any language, but nothing in it steers a terminal."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if text.isprintable() else _BEYOND_ASCII.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1]
