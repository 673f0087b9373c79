"""Secrets that stand in a configuration file itself. They belong into no manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gridsidecar.config.secrets import HIDDEN
from gridsidecar.config.yaml_tree import KeyPath, Tree, dotted
from gridsidecar.errors import Fault

_REFERENCE = re.compile(r"\$\{\w+(?::-([^}]*))?\}")
_LOGIN = re.compile(r"(://[^:/?#@\s]*:)([^@\s]+)@")
_SECRET = re.compile(
    r".*(?:secret|token|passw|pwd|credential|authorization|api[_-]?key|access[_-]?key|private[_-]?key).*", re.IGNORECASE
)
_HARMLESS = re.compile(r"(?:max|min|num)[_-].*tokens|.*tokeniz.*|.*[_-](?:file|path|dir)", re.IGNORECASE)
_OPTION = re.compile(r"--?([\w-]+)(?:=(.*))?", re.DOTALL)
_ASSIGNMENT = re.compile(r"(?:^|(?<=[\s?&;]))(\w[\w-]*)=[\w+/=.:@%~!-]+(?=[\s&;'\"]|$)")  # by shells, in queries
_HEADER = re.compile(r"authorization:\s*\w+\s+[^\s$]", re.IGNORECASE)
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
    if _LOGIN.search(literal) or _HEADER.search(literal) or any(map(_is_secret, _ASSIGNMENT.findall(literal))):
        return True
    match at:
        case ("callbacks", "signing_secret") | ("http", "token" | "read_token") | ("notify", _, "url" | "secret"):
            return any(_REFERENCE.findall(text)) if _REFERENCE.search(text) else bool(literal)
        case ("handlers", _, "env", str(name)):
            return bool(literal and _is_secret(name))
        case (*command, int(number)):
            return _is_given(literal, texts.get((*command, number - 1), ""))
    return False


def _is_given(word: str, before: str) -> bool:
    """Whether a word of a command gives an option its secret value."""
    own, option = _OPTION.fullmatch(word), _OPTION.fullmatch(before)
    if own is not None:
        return bool(own[2]) and _is_secret(own[1]) and not own[2].startswith("-")
    return bool(word) and option is not None and option[2] is None and _is_secret(option[1])


def _is_secret(name: str) -> bool:
    return _SECRET.fullmatch(name) is not None and _HARMLESS.fullmatch(name) is None


def _literal(text: str) -> str:
    """What the file itself says: no variables, but their defaults."""
    return _REFERENCE.sub(lambda found: found[1] or "", text)
