"""What others said, inside of what is told in any language: it stays as it is."""

from __future__ import annotations

import re
from collections.abc import Callable

_OPENS, _CLOSES = "\ufdd0", "\ufdd1"  # noncharacters, which no text of anybody has
_QUOTE = re.compile(f"{_OPENS}([^{_CLOSES}]*){_CLOSES}")
_KEPT = re.compile(f"{_OPENS}(\\d+){_CLOSES}")
_MARKS = {ord(_OPENS): None, ord(_CLOSES): None}


def theirs(text: str) -> str:
    """Marked as the words of somebody else. Whoever tells it translates what is around it, and takes the marks away."""
    return f"{_OPENS}{text.translate(_MARKS)}{_CLOSES}" if text else ""


def has_quotes(text: str) -> bool:
    return _OPENS in text


def unmarked(text: str) -> str:
    return text.translate(_MARKS) if _OPENS in text else text


def around_quotes(translate: Callable[[str], str]) -> Callable[[str], str]:
    """`translate`, to which each quote is one word that it does not know."""

    def translated(text: str) -> str:
        if _OPENS not in text:
            return translate(text)
        quotes: list[str] = []

        def kept(quote: re.Match[str]) -> str:
            quotes.append(quote[1])
            return f"{_OPENS}{len(quotes) - 1}{_CLOSES}"

        told = translate(_QUOTE.sub(kept, text))
        return _KEPT.sub(lambda place: quotes[int(place[1])], told)

    return translated
