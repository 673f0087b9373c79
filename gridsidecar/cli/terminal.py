"""What reaches a terminal, and what does not: control characters of a task, colours in a file, bars in a log."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TextIO
from unicodedata import east_asian_width

from gridsidecar.errors import UsageError
from gridsidecar.language import translated
from gridsidecar.language.quoting import has_quotes

if TYPE_CHECKING:
    from rich.console import Console


def interactive(stream: TextIO) -> bool:
    """A person looks at it, on a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def console(stream: TextIO) -> Console:
    """A console that adds nothing of its own to texts: no markup, no emoji codes, no guessed colours."""
    from rich.console import Console

    return Console(file=stream, markup=False, emoji=False, highlight=False, soft_wrap=False)


def say(text: str) -> None:
    """Words of ours for people, on stderr, in their language; they may contain texts of tasks."""
    repeat(translated(text))


def repeat(text: str) -> None:
    """What others said, on stderr."""
    print("\n".join(clean(line) for line in text.split("\n")), file=sys.stderr, flush=True)


def must_ask(yes: bool, command: str, does: str = "removes for good") -> bool:
    """Whether a person is to be asked first. UsageError where nobody said yes and nobody can be asked."""
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{command} {does}: without a terminal to ask on, it needs --yes")
    return not yes


def agreed(question: str) -> bool:
    """The person's answer; no is the default."""
    import typer

    while True:
        print(f"{clean(translated(question))} [y/N]: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise typer.Abort
        match line.strip().lower():
            case "y" | "yes":
                return True
            case "" | "n" | "no":
                return False
        say("answer y or n")


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


def cut(text: str, width: int) -> str:
    """At most `width` characters, with a mark where something is left out."""
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."


def told(text: str) -> str:
    """The text of a fact in our words; a single word is a name."""
    return translated(text) if " " in text or has_quotes(text) else text


def padded(text: str, width: int) -> str:
    """With spaces up to `width` columns of a terminal; a Chinese character takes two."""
    return text + " " * (width - columns(text))


def columns(text: str) -> int:
    return len(text) if text.isascii() else sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


def speaks_unicode(stream: TextIO) -> bool:
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON for stdout: readable in any language, but nothing in it steers a terminal. What a stdout without Unicode
    made of a character would be no JSON."""
    from gridsidecar.telemetry.formatters import json_text

    return json_text(value, ascii_only=not speaks_unicode(sys.stdout), indent=indent)
