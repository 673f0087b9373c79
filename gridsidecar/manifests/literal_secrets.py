"""Secrets that stand in a configuration file itself. They belong into no manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gridsidecar.config.secrets import HIDDEN
from gridsidecar.config.yaml_tree import KeyPath, Tree, dotted
from gridsidecar.errors import Fault

_REFERENCE = re.compile(r"\$\{\w+(?::-([^}]*))?\}")
_LOGIN = re.compile(r"(://[^:/?#@\s]*:)([^@\s]+)@")
_NAME = r"[\w-]*(?:secret|token|passw|pwd|credential|api[_-]?key|access[_-]?key|private[_-]?key)[\w-]*"
_VARIABLE = re.compile(_NAME, re.IGNORECASE)
_OPTION = re.compile(rf"--?{_NAME}(?:=(.*))?", re.IGNORECASE | re.DOTALL)
_VARIABLES = {"broker.url": "AMQP_URL", "store.url": "MYSQL_URL"}


def literal_secrets(path: str, tree: Tree, texts: Sequence[tuple[KeyPath, str]]) -> Iterator[Fault]:
    """A fault for each of them."""
    known = dict(texts)
    for at, text in texts:
        key = dotted(at)
        if _has_secret(at, text, known):
            variable = _VARIABLES.get(key) or re.sub(r"\W+", "_", key).strip("_").upper()
            problem = f"a secret stands here, which a manifest would show: write ${{{variable}}}"
            yield Fault(key, problem, HIDDEN, path, tree.lines.get(at))
        elif "${file:" in text:
            problem = "no pod has this file: write a variable, whose value comes from the Secret"
            yield Fault(key, problem, None, path, tree.lines.get(at))


def without_passwords(text: str) -> str:
    """A file whose values hold none, without those of its comments."""
    return _LOGIN.sub(lambda found: f"{found[1]}{HIDDEN}@" if _literal(found[2]) else found[0], text)


def _has_secret(at: KeyPath, text: str, texts: dict[KeyPath, str]) -> bool:
    literal = _literal(text)
    if _LOGIN.search(literal):
        return True
    match at:
        case ("callbacks", "signing_secret") | ("http", "token" | "read_token") | ("notify", _, "url" | "secret"):
            return any(_REFERENCE.findall(text)) if _REFERENCE.search(text) else bool(literal)
        case ("handlers", _, "env", str(name)):
            return bool(literal and _VARIABLE.fullmatch(name))
        case (*command, int(number)):
            own, before = _OPTION.fullmatch(text), _OPTION.fullmatch(texts.get((*command, number - 1), ""))
            given = own[1] if own and own[1] else text if before and before[1] is None else ""
            return bool(_literal(given)) and not given.startswith("-")
    return False


def _literal(text: str) -> str:
    """What the file itself says: no variables, but their defaults."""
    return _REFERENCE.sub(lambda found: found[1] or "", text)
