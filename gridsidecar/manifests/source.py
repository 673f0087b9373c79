"""A configuration file as pods are to have it: its text, what it comes to, and where its variables come from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from gridsidecar.config import harmless
from gridsidecar.config.load import load
from gridsidecar.config.settings import Settings
from gridsidecar.config.yaml_tree import KeyPath, Tree, dotted, read_bounded, read_tree
from gridsidecar.errors import ConfigError, Fault
from gridsidecar.manifests.literal_secrets import literal_secrets, without_passwords

REFERENCE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-[^}]*)?\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ELSEWHERE = "known-to-the-cluster.invalid"  # stands for what only the pods will know
_SERVERS = {"broker.url": f"amqp://{ELSEWHERE}/", "store.url": f"mysql://{ELSEWHERE}/grid"}
_PASSED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")  # every image has its own


class Source(Struct, frozen=True, kw_only=True):
    """`secrets` are the variables whose values belong into a Secret, `plain` the others with the values that they have
    here. `wanted` are those that handlers are passed besides, if they are set at all. `addresses` has by key the
    variables that are the whole URL of broker and store."""

    path: str
    text: str
    settings: Settings
    secrets: tuple[str, ...]
    plain: Mapping[str, str]
    wanted: tuple[str, ...]
    addresses: Mapping[str, str]
    lines: Mapping[KeyPath, int]

    def fault(self, key: str, problem: str) -> Fault:
        """What is wrong with a key, and its place in the file."""
        at = tuple(key.split("."))
        places = [self.lines[at[:length]] for length in range(len(at), 0, -1) if at[:length] in self.lines]
        return Fault(key, problem, source=self.path, line=places[0] if places else None)


def read_source(path: str, environ: Mapping[str, str], *, shown: bool) -> Source:
    """Raises ConfigError, also for a secret in a file that a manifest is to show. Values of secrets are not looked up:
    others stand for them."""
    tree = read_tree(path)
    texts = list(_texts(tree.values, ()))
    names: dict[str, KeyPath] = {}
    for at, text in texts:
        for name in _names(text):
            names.setdefault(name, at)
    readable = {name for at, text in texts if not _may_be_secret(at) for name in _names(text)}
    plain = {name: environ[name] for name in names if name in readable and name in environ}
    secrets = tuple(name for name in names if name not in readable)
    if shown and (faults := list(literal_secrets(path, tree, texts))):
        raise ConfigError(faults)
    stand_ins = {name: _stand_in(names[name], name) for name in secrets}
    settings = load(path, overrides=_servers(tree), environ={**plain, **stand_ins}, dotenv=None)
    passed = {name: None for handler in settings.handlers.values() for name in handler.pass_env}
    return Source(
        path=path,
        text=without_passwords(read_bounded(path).decode("utf-8-sig")),
        settings=settings,
        secrets=secrets,
        plain=plain,
        wanted=tuple(name for name in passed if name not in (*names, *_PASSED) and _NAME.fullmatch(name)),
        addresses={
            dotted(at): found[1]
            for at, text in texts
            if dotted(at) in _SERVERS and (found := REFERENCE.fullmatch(text))
        },
        lines=tree.lines,
    )


def _texts(value: Any, at: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    match value:
        case dict() | list():
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                yield from _texts(item, (*at, key))
        case str():
            yield at, value


def _names(text: str) -> list[str]:
    return [found[1] for found in REFERENCE.finditer(text) if found[1]]


def _address(at: KeyPath, text: str) -> re.Match[str] | None:
    return REFERENCE.fullmatch(text) if dotted(at) in _SERVERS else None


def _may_be_secret(at: KeyPath) -> bool:
    return bool(harmless.shown(at, "word") != "word")


def _stand_in(at: KeyPath, name: str) -> str:
    return f"{'smtp' if at[-1] == 'smtp_url' else 'https'}://{ELSEWHERE}/{name}"


def _servers(tree: Tree) -> dict[str, object]:
    """Stand-ins for addresses that variables hold a part of."""
    return {
        key: url
        for key, url in _SERVERS.items()
        if any(_names(text) for at, text in _texts(tree.values, ()) if dotted(at[:2]) == key)
    }
