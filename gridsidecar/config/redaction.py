"""Which values of a configuration may be shown: those that are known to be harmless, and of others their form."""

from __future__ import annotations

import re
import shlex
from typing import Any

from gridsidecar.config.schema_text import has_choices
from gridsidecar.config.secrets import HIDDEN, masked_text, masked_url
from gridsidecar.config.yaml_tree import KeyPath

ANY = "*"
# Texts that are names, places and words. A key that is in none of these lists is hidden.
_TEXTS: set[tuple[str, ...]] = {
    ("broker", "queue"),
    ("broker", "dead_letter_queue"),
    ("store", "table_prefix"),
    ("store", "table_name"),
    ("worker", "name"),
    ("worker", "heartbeat_file"),
    ("handlers", ANY, "cwd"),
    ("handlers", ANY, "pass_env"),
    ("handlers", ANY, "rate"),
    ("callbacks", "allow"),
    ("callbacks", "queue"),
    ("callbacks", "queues"),
    ("notify", ANY, "from"),
    ("notify", ANY, "to"),
    ("notify", ANY, "allow_to"),
    ("notify", ANY, "subject"),
    ("notify", ANY, "text"),
    ("notify", ANY, "task_types"),
    ("http", "listen"),
    ("http", "token_file"),
    ("http", "read_token_file"),
    ("http", "base_path"),
    ("http", "hide"),
    ("log", "dir"),
}
_URLS: set[tuple[str, ...]] = {
    ("broker", "url"),
    ("broker", "management_url"),
    ("store", "url"),
    ("handlers", ANY, "url"),
    ("notify", ANY, "url"),
    ("notify", ANY, "smtp_url"),
    ("http", "public_url"),
}
_COMMANDS: set[tuple[str, ...]] = {
    ("handlers", ANY, "command"),
    *(("hooks", name) for name in ("on_startup", "on_shutdown", "on_task_start", "on_task_end")),
}
_SCRIPT = re.compile(r"[\w./-]+\.(?:py|pyz|js|mjs|cjs|ts|rb|pl|php|sh|jar|lua|exe)", re.ASCII)
_OPTION = re.compile(r"(-[A-Za-z]|--[A-Za-z][A-Za-z-]*)(=?)", re.ASCII)


def shown(at: KeyPath, value: Any) -> Any:
    """A plain value as it may be shown."""
    if value is None or value == "":
        return value
    key, index = _key(at)
    if key in _URLS:
        return masked_url(str(value))
    if key in _COMMANDS:
        return _word(str(value), first=index == 0 or (index is None and " " not in str(value)))
    if key in _TEXTS or has_choices(at):
        return _text(str(value), mail=key[0] == "notify") if isinstance(value, str) else value
    return HIDDEN


def as_words(at: KeyPath, command: Any) -> list[str] | None:
    """The list that a command should have been, each word as it may be shown; None where it is no text."""
    if not isinstance(command, str) or _key(at)[0] not in _COMMANDS:
        return None
    if re.search(r"[|&;<>`$()\n]", command):
        return ["sh", "-c", HIDDEN]
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation mark that no other closes
        words = command.split()
    if not words:
        return None
    program = HIDDEN if "=" in words[0] else shown((*at, 0), words[0])  # a variable with its value, as shells take it
    return [program, *(shown((*at, place), word) for place, word in enumerate(words[1:], 1))]


def _text(text: str, *, mail: bool) -> str:
    """Where no mail address belongs, an @ is that of a login."""
    return HIDDEN if "@" in text and not mail else masked_text(text)


def _key(at: KeyPath) -> tuple[tuple[str, ...], int | None]:
    """The key without the names of handlers and the numbers of items, and the item's number in a list of texts."""
    inside: list[str] = [str(part) for part in at]
    if inside[0] in ("handlers", "notify") and len(inside) > 1:
        inside[1] = ANY
    last = at[-1]
    if isinstance(last, int) and len(at) > (2 if at[0] == "notify" else 1):
        return tuple(inside[:-1]), last
    return tuple(inside), None


def _word(word: str, *, first: bool) -> str:
    """Of a command: the program, scripts and the names of options. What these are given may be a key."""
    if first:
        return masked_text(word)
    if _SCRIPT.fullmatch(word):
        return word
    option = _OPTION.match(word)
    if option is None or (option[0] != word and not option[2]):
        return HIDDEN
    return option[0] + (HIDDEN if option[2] else "")
