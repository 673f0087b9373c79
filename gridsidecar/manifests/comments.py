"""Comments of templates, in the language of whoever prints them: they are for people, all else is for programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from gridsidecar import language

_PROSE = re.compile(r"( *)# (\S.*)")  # more than one space leads to a command, to be typed
_NOTE = re.compile(r"(.*\S +)# (\S.*)")
_BETWEEN = re.compile(r"(?<=\.) ")


def told(template: str) -> str:
    """Sentences that are not in English have a line each."""
    return template if language.spoken == "en" else "".join(f"{line}\n" for line in _told(template.splitlines()))


def _told(lines: list[str]) -> Iterator[str]:
    for before, sentences in pieces(lines):
        yield from [f"{before}# {language.translated(each)}" for each in sentences] or [before]


def pieces(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """What stands before a comment, and its sentences; a line without one is just what it is."""
    for indent, group in groupby(lines, _indent):
        if indent is not None:
            text = " ".join(line.strip().removeprefix("# ") for line in group)
            yield indent, _BETWEEN.split(text)
            continue
        for line in group:
            note = _NOTE.fullmatch(line)
            yield (line, []) if note is None else (note[1], [note[2]])


def _indent(line: str) -> str | None:
    prose = _PROSE.fullmatch(line)
    return None if prose is None else prose[1]
