"""What a server answers without messages, for `gridsidecar exec`: its result is not told as a log too."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from gridsidecar.cli.terminal import json_text

if TYPE_CHECKING:
    from gridsidecar.rules.task import Transition

MOST = 16 * 1024 * 1024  # bytes that are kept
# An object, a list, or a single line: what follows tells. Lines of a log often begin with a time or level in brackets.
_MAY_BE_JSON = re.compile(
    rb"""\s*(\{\s*(["}]|\Z)|\[\s*(["\[{\]]|(true|false|null)\b|-?\d+(\.\d+)?([eE][+-]?\d+)?\s*([],]|\Z)|\Z)|[^\n]*\n?\Z)"""
)


class ResultBuffer:
    """Keeps text back as long as it may be the result whole; then it is told as it comes."""

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self._tell = tell
        self._kept = bytearray()
        self._released = False

    def take(self, text: bytes) -> None:
        if self._released:
            self._tell(text)
            return
        self._kept += text
        if len(self._kept) > MOST or not _MAY_BE_JSON.match(self._kept):
            self.release()

    def release(self) -> None:
        """It is not the result: something else came with it."""
        self._released = True
        if self._kept:
            self._tell(bytes(self._kept))
            self._kept.clear()

    def end(self, transition: Transition) -> None:
        if transition.status != "success" or not self._is(transition.result):
            self.release()

    def _is(self, result: object) -> bool:
        from gridsidecar.wire.strict_json import JsonRefused, parse_json

        try:
            return json_text(parse_json(self._kept.decode())) == json_text(result)
        except (JsonRefused, UnicodeDecodeError):
            return False
