"""A page of Markdown as its readers see it: sections with their code, tables, links and backticked words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_WORD = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_RULE = re.compile(r"^\|[-:| ]+\|$")
_HASH = re.compile(r"(?:^|\s)#(?!!).*")  # `#!` is code
_COMMENTS = {"sh": _HASH, "yaml": _HASH, "python": _HASH, "js": re.compile(r"(?:^|\s)//.*")}  # by language

Table = list[list[str]]


@dataclass(frozen=True)
class Line:
    """A line of code, and its comment apart; None where it has none."""

    code: str
    comment: str | None


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    language: str
    text: str

    @property
    def lines(self) -> list[Line]:
        return [self._line(line) for line in self.text.splitlines()]

    def _line(self, line: str) -> Line:
        found = _COMMENTS[self.language].search(line) if self.language in _COMMENTS else None
        return Line(line, None) if found is None else Line(line[: found.start()].rstrip(), found[0])


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it, up to the next one. The first section of a page may have level 0."""

    level: int
    title: str
    text: str  # without blocks
    blocks: list[Block] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """As GitHub makes it: letters of any language stay."""
        return re.sub(r"[^\w\- ]", "", self.title.lower()).replace(" ", "-")

    @cached_property
    def tables(self) -> list[Table]:
        """Rows of cells; the heading of a table is its first row."""
        found: list[Table] = []
        inside = False
        for line in self.text.splitlines():
            if not line.startswith("|"):
                inside = False
                continue
            if not inside:
                found.append([])
                inside = True
            if not _RULE.match(line):
                found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        return found

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.text)

    @property
    def words(self) -> set[str]:
        return words(f"{self.title}\n{self.text}")


def words(text: str) -> set[str]:
    """What stands in backticks, each with single spaces."""
    return {" ".join(word.split()) for word in _WORD.findall(text)}


def sections(text: str) -> list[Section]:
    """The page in pieces, in order."""
    blocks: list[Block] = []

    def put_aside(fence: re.Match[str]) -> str:
        blocks.append(Block(fence[2], fence[3]))
        return f"\0{len(blocks) - 1}\0"

    plain = _FENCE.sub(put_aside, text)
    headings = list(_HEADING.finditer(plain))
    ends = [heading.start() for heading in headings[1:]] + [len(plain)]
    pieces = [(len(h[1]), h[2], plain[h.end() : end]) for h, end in zip(headings, ends, strict=True)]
    if headings[0].start():
        pieces.insert(0, (0, "", plain[: headings[0].start()]))
    return [_section(*piece, blocks) for piece in pieces]


def _section(level: int, title: str, text: str, blocks: list[Block]) -> Section:
    own = [blocks[int(number)] for number in re.findall("\0(\\d+)\0", text)]
    return Section(level, title, re.sub("\0\\d+\0", "", text), own)
