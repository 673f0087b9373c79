"""Finding a finished sentence in a catalogue of sentences with places for values."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from typing import NamedTuple

from msgspec import Struct

LONGEST = 4000  # characters: what is longer is no sentence of ours
DEEPEST = 6  # sentences in a sentence; a text of others may have any number of commas
REMEMBERED = 1024
SHORT = 10  # characters of a sentence, beside its places
MOST_SPLITS = 8  # of a text into the places of one sentence
MOST_LOOKS = 300  # for one text: what takes more is no sentence of ours, and would hold up who tells it

_PLACE = re.compile(r"\{[a-z_]*\}")
_FILLED = re.compile(r"( ?)\{(\d?)([a-z_]*)\}( ?)")
QUOTED = "theirs"  # a place of this name in the words holds what others said
_NUMBERED = re.compile(r"\{(\d)")
_CHINESE = re.compile("[。\u4e00-\u9fff][\u4e00-\u9fff]")
_FIGURES = re.compile(r"[\d.,:+-]+%?(?: (?:[\d.,:+-]+%?|[A-Z]{2,5}|h|min|s))*")  # numbers, times, durations
_JOINTS = ("; ", ": ", " (", ", ", ". ")
_BETWEEN_CHINESE = {"; ": "；", ": ": "：", ", ": "，", ". ": "。"}


class _Pattern(Struct, frozen=True):
    pieces: tuple[str, ...]  # what stands before, between and after the places
    words: str
    weight: int  # characters that must be there
    quoted: frozenset[int]  # places that hold what others said

    def values(self, text: str) -> Iterator[list[str]]:
        """What may stand in its places in `text`; nothing where this is another sentence."""
        first, *between, last = self.pieces
        if text.startswith(first) and text.endswith(last) and len(text) >= self.weight:
            yield from islice(_splits(text[len(first) : len(text) - len(last)], between), MOST_SPLITS)


class _Told(NamedTuple):
    known: int  # characters that the catalogue has
    own: int  # of these, characters of the one line that has the most
    words: str


class _TooManyLooks(Exception):
    pass


class SentenceTranslator:
    """A key has `{}` where a value goes; its words have the values in the same order, or as `{1}`, `{0}`. What stands
    in a place that they call `{theirs}`, or `{1theirs}`, stays as it is."""

    def __init__(self, words: Mapping[str, str]) -> None:
        words = {english: chinese for whole in words.items() for english, chinese in _parts(*whole)} | dict(words)
        self._words = words
        self._looks = 0  # that are left for the text in hand
        self._patterns: dict[str, list[_Pattern]] = defaultdict(list)  # by the first word, where that is certain
        for key, value in words.items():
            if len(pieces := tuple(_PLACE.split(key))) > 1:
                pattern = _Pattern(pieces, value, sum(map(len, pieces)), frozenset(_quoted(value)))
                self._patterns[_first_word(pieces[0])].append(pattern)
        self._best = lru_cache(REMEMBERED)(self._looked_up)
        self.translated = lru_cache(REMEMBERED)(self._translated)

    def _translated(self, text: str) -> str:
        if len(text) > LONGEST:
            return text
        self._looks = MOST_LOOKS
        try:
            told = self._found(text, DEEPEST)
        except _TooManyLooks:
            return text
        return text if told is None else told.words

    def _found(self, text: str, depth: int) -> _Told | None:
        """None where nothing in it is known. A single word inside of a sentence is a name, or what somebody wrote."""
        core = text.strip()
        if not core or depth == 0 or (depth < DEEPEST and " " not in core):
            return None
        told = self._best(core, depth)
        return told and told._replace(words=text.replace(core, told.words, 1))

    def _looked_up(self, text: str, depth: int) -> _Told | None:
        self._looks -= 1
        if self._looks < 0:
            raise _TooManyLooks
        if words := self._words.get(text):
            return _Told(len(text), len(text), words)
        # Who knows most; of these, whose line is a sentence and no joint of others; of these, the first.
        return max(self._ways(text, depth), key=lambda told: told[:2], default=None)

    def _ways(self, text: str, depth: int) -> Iterator[_Told]:
        """What it may be: several sentences beside one another, or one with others in its places. In this order: where
        both know as much, a joint that none of the sentence's own words reach over is no part of a value."""
        for joint in ("\n",) if "\n" in text else _JOINTS:
            if joint in text:
                yield from self._joined(text, joint, depth)
        if "\n" not in text:
            yield from self._filled(text, depth)
            if text.endswith(".") and (told := self._found(text[:-1], depth - 1)):
                yield _Told(told.known + 1, told.own, told.words + "。")

    def _filled(self, text: str, depth: int) -> Iterator[_Told]:
        for pattern in self._patterns.get(_first_word(text), []) + self._patterns[""]:
            for values in pattern.values(text):
                told = [
                    _Told(len(value), 0, value)
                    if place in pattern.quoted
                    else self._found(value, depth - 1) or _Told(0, 0, value)
                    for place, value in enumerate(values)
                ]
                # So few characters are found in what others said, too: numbers, names and our own words make it ours.
                if pattern.weight >= SHORT or all(each.known or _is_plain(each.words) for each in told):
                    known = pattern.weight + sum(each.known for each in told)
                    own = max(pattern.weight, *(each.own for each in told))
                    yield _Told(known, own, _with_values(pattern.words, told))

    def _joined(self, text: str, joint: str, depth: int) -> Iterator[_Told]:
        parts = _around(text, joint)
        told = [self._found(part, depth - 1) or _Told(0, 0, part) for part in parts]
        if known := sum(each.known for each in told):
            words = told[0].words
            for before, after in pairwise(told):
                words += (_BETWEEN_CHINESE.get(joint, joint) if before.known and after.known else joint) + after.words
            yield _Told(known, max(each.own for each in told), words)


def _splits(text: str, pieces: Sequence[str]) -> Iterator[list[str]]:
    """What may stand around these in `text`: each is met where it comes first, or where it comes last."""
    if not pieces:
        yield [text]
        return
    piece, *others = pieces
    for at in sorted({text.find(piece), text.rfind(piece)} - {-1}) if piece else [0]:
        yield from ([text[:at], *after] for after in _splits(text[at + len(piece) :], others))


def _quoted(words: str) -> Iterator[int]:
    for at, place in enumerate(_FILLED.finditer(words)):
        if place[3] == QUOTED:
            yield int(place[2] or at)


def _is_plain(value: str) -> bool:
    """A name, or figures."""
    return " " not in value or _FIGURES.fullmatch(value) is not None


def _parts(english: str, words: str) -> Iterator[tuple[str, str]]:
    """What happened and what to do about it are told apart here and there."""
    for joint, its_joint in _BETWEEN_CHINESE.items():  # what follows another sentence is met without its joint, too
        if english.startswith(joint) and words.startswith(its_joint):
            yield english.removeprefix(joint), words.removeprefix(its_joint)
    ours, theirs = english.split("; "), words.split("；")
    if len(ours) != len(theirs) or len(ours) == 1:
        return
    before = 0  # places in the parts that came already
    for part, its_words in zip(ours, theirs, strict=True):
        places = len(_PLACE.findall(part))
        numbers = [int(number) for number in _NUMBERED.findall(its_words)]
        if not numbers:
            yield part, its_words
        elif sorted(numbers) == list(range(before, before + places)):
            yield part, _NUMBERED.sub(lambda number, first=before: f"{{{int(number[1]) - first}", its_words)  # type: ignore[misc]
        before += places


def _around(text: str, joint: str) -> list[str]:
    """All parts, or the first and the rest: where that may be a sentence with the same joint, or there are many."""
    first_only = joint in (": ", " (") or (text.count(joint) >= DEEPEST and joint != "\n")
    return text.split(joint, 1) if first_only else text.split(joint)


def _first_word(text: str) -> str:
    head, space, _ = text.partition(" ")
    return head if space else ""


def _with_values(words: str, values: list[_Told]) -> str:
    """The spaces around a place are those between Chinese and what is not: none between Chinese words of our own."""
    following = iter(values)

    def filled(place: re.Match[str]) -> str:
        value = values[int(place[2])] if place[2] else next(following)
        before, after = words[: place.start()][-1:], words[place.end() :][:1]
        joined = bool(value.known) and _CHINESE.fullmatch(before + value.words[:1]) is not None
        joins = bool(value.known) and _CHINESE.fullmatch(value.words[-1:] + after) is not None
        return ("" if joined else place[1]) + value.words + ("" if joins else place[4])

    return _FILLED.sub(filled, words)
