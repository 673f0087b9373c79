"""Finding a finished sentence in a catalogue of sentences with places for values."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache

from msgspec import Struct

LONGEST = 4000  # characters: what is longer is no sentence of ours
DEEPEST = 8  # sentences in a sentence; a text of others may have any number of commas
REMEMBERED = 1024

_PLACE = re.compile(r"\{[a-z_]*\}")
_FILLED = re.compile(r"\{(\d?)[a-z_]*\}")
_JOINTS = ("\n", "; ", ": ", " (", ", ", ". ")


class _Pattern(Struct, frozen=True):
    pieces: tuple[str, ...]  # what stands before, between and after the places
    words: str
    weight: int  # characters that must be there

    def values(self, text: str) -> list[str] | None:
        """What stands in its places in `text`; None where this is another sentence."""
        first, *between, last = self.pieces
        if not (text.startswith(first) and text.endswith(last)) or len(text) < self.weight:
            return None
        at, end = len(first), len(text) - len(last)
        found: list[str] = []
        for piece in between:
            place = text.find(piece, at, end)
            if place < 0:
                return None
            found.append(text[at:place])
            at = place + len(piece)
        return [*found, text[at:end]]


class Sentences:
    """A key has `{}` where a value goes; its words have the values in the same order, or as `{1}`, `{0}`."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = words
        self._patterns: dict[str, list[_Pattern]] = defaultdict(list)  # by the first word, where that is certain
        for key, value in words.items():
            if len(pieces := tuple(_PLACE.split(key))) > 1:
                pattern = _Pattern(pieces, value, sum(map(len, pieces)))
                self._patterns[_first_word(pieces[0])].append(pattern)
        self.translated = lru_cache(REMEMBERED)(self._translated)

    def _translated(self, text: str) -> str:
        return text if len(text) > LONGEST else self._found(text, DEEPEST) or text

    def _found(self, text: str, depth: int) -> str | None:
        """None where nothing in it is known. A single word inside of a sentence is a name, or what somebody wrote."""
        core = text.strip()
        if not core or depth == 0 or (depth < DEEPEST and " " not in core):
            return None
        whole = self._words.get(core) or self._filled(core, depth) or self._joined(core, depth)
        return None if whole is None else text.replace(core, whole, 1)

    def _filled(self, text: str, depth: int) -> str | None:
        candidates = self._patterns[""] + self._patterns.get(_first_word(text), []) if " " in text else []
        matches = ((each, values) for each in candidates if (values := each.values(text)) is not None)
        best = max(matches, key=lambda match: match[0].weight, default=None)
        if best is None:
            return None
        pattern, values = best
        told = [self._found(value, depth - 1) or value for value in values]
        return _with_values(pattern.words, told)

    def _joined(self, text: str, depth: int) -> str | None:
        """Sentences that stand beside one another."""
        for joint in _JOINTS:
            if joint not in text:
                continue
            parts = list(_around(text, joint))
            told = [self._found(part, depth - 1) for part in parts]
            if any(told):
                return joint.join(new or part for new, part in zip(told, parts, strict=True))
        return None


def _around(text: str, joint: str) -> Iterator[str]:
    """All parts, or (where there are many) the first and the rest."""
    return iter(text.split(joint) if text.count(joint) < DEEPEST or joint == "\n" else text.split(joint, 1))


def _first_word(text: str) -> str:
    head, space, _ = text.partition(" ")
    return head if space else ""


def _with_values(words: str, values: list[str]) -> str:
    following = iter(values)
    return _FILLED.sub(lambda place: values[int(place[1])] if place[1] else next(following), words)
