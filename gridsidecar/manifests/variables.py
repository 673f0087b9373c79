"""The variables of a configuration file: which of them may hold secrets, and what stands for these."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from gridsidecar.config import redaction
from gridsidecar.config.yaml_tree import KeyPath, dotted

ELSEWHERE = "known-to-the-cluster.invalid"  # stands for what only the pods will know
SERVERS = {"broker.url": f"amqp://{ELSEWHERE}/", "store.url": f"mysql://{ELSEWHERE}/grid"}
_REFERENCE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?\}")


class Variable(Struct, frozen=True):
    """Where a variable stands; `whole` where it is the whole text, `default` what the text has without it."""

    at: KeyPath
    name: str
    whole: bool
    default: str | None

    @property
    def optional(self) -> bool:
        return self.default is not None and self.server is None  # no default knows the servers

    @property
    def server(self) -> str | None:
        """The key of the address that it is, or is a part of."""
        key = dotted(self.at[:2])
        return key if key in SERVERS else None

    @property
    def may_be_secret(self) -> bool:
        return bool(redaction.shown(self.at, "word") != "word")

    @property
    def stand_in(self) -> str:
        """A value that any place takes. It names the variable, because some values must differ."""
        if not self.whole:
            return f"{self.name}.{ELSEWHERE}"
        return f"{'smtp' if self.at[-1] == 'smtp_url' else 'https'}://{ELSEWHERE}/{self.name}"


def variables_in(texts: Iterable[tuple[KeyPath, str]]) -> Iterator[Variable]:
    for at, text in texts:
        for found in _REFERENCE.finditer(text):
            if found[1]:
                default = None if found[2] is None else found[2].removeprefix(":-")
                yield Variable(at, found[1], found[0] == text, default)


def texts_of(value: Any, at: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Each text of a tree, with its place."""
    match value:
        case dict() | list():
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                yield from texts_of(item, (*at, key))
        case str():
            yield at, value
