"""Merged values against the settings' models and against each other; every fault in our own words."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from gridsidecar.config.redaction import as_words, shown
from gridsidecar.config.rules import NOTHING_IN_IT, contradictions
from gridsidecar.config.schema_text import allowed, one_of, unknown_key
from gridsidecar.config.secrets import HIDDEN
from gridsidecar.config.settings import Settings
from gridsidecar.config.sources import Sources
from gridsidecar.config.variables import variables_for
from gridsidecar.config.yaml_tree import KeyPath, dotted
from gridsidecar.errors import ConfigError, Fault

_SECRETS = ("signing_secret", "secret", "token", "token_file", "read_token", "read_token_file", "smtp_url")
_STAND_IN = {"command": ["true"]}


def check(sources: Sources, faults: list[Fault]) -> Settings:
    """The settings; ConfigError with the given faults and all that are found here."""
    values = sources.values
    for section in ("broker", "store"):
        values.setdefault(section, {})
    settings, details = _validated(sources)
    found = {fault.key: fault for fault in faults}
    for at, kind in details:
        _note(found, _fault(sources, at, kind))
    for at in _emptied_secrets(sources):
        _note(found, _told(sources, at, NOTHING_IN_IT))
    usable = settings or _without(values, [at for at, _ in details])
    for at, problem in contradictions(usable):
        if not any(_same_or_inside(dotted(at), key) for key in found) and not _by_a_wrong_mode(at, found):
            _note(found, _told(sources, at, problem))
    if found:
        raise ConfigError(sorted(found.values(), key=_position), usable)
    assert settings is not None, "no faults, so the models took the values"
    return settings


def _by_a_wrong_mode(at: KeyPath, found: Mapping[str, Fault]) -> bool:
    """Whether a handler has a command or a URL is right or wrong by its mode."""
    return at[0] == "handlers" and at[2] in ("command", "url") and dotted((*at[:2], "mode")) in found


def _emptied_secrets(sources: Sources) -> Iterator[KeyPath]:
    """A secret that is to come from a variable which is empty: nobody meant to go without."""
    for at, text in sources.texts.items():
        if not text.strip() and at[-1] in _SECRETS:
            yield at


def _note(found: dict[str, Fault], fault: Fault) -> None:
    """One fault a key: the first is the nearest to the cause."""
    found.setdefault(fault.key, fault)


def _validated(sources: Sources) -> tuple[Settings | None, list[tuple[KeyPath, str]]]:
    """Settings, or (key path, pydantic's word for the mistake) of every mistake."""
    try:
        return Settings.model_validate(sources.values), []
    except ValidationError as error:
        if not _give_text(sources, error):
            return None, _details(error)
    try:
        return Settings.model_validate(sources.values), []
    except ValidationError as error:
        return None, _details(error)


def _details(error: ValidationError) -> list[tuple[KeyPath, str]]:
    return [
        (tuple(part for part in detail["loc"] if part != "[key]"), detail["type"])
        for detail in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _give_text(sources: Sources, error: ValidationError) -> bool:
    """Put the text back where a variable's value was typed anew but text is wanted: a queue may be named 2024."""
    changed = False
    for at, kind in _details(error):
        if kind == "string_type" and at in sources.texts:
            sources.value(at[:-1])[at[-1]] = sources.texts[at]
            changed = True
    return changed


def _without(values: dict[str, Any], wrong: list[KeyPath]) -> Settings:
    """Settings of what is right, stand-ins for what is required, so that the other keys can be checked as well."""
    rest = copy.deepcopy(values)
    for at in wrong:
        if not _drop_in_item(rest, at):
            _drop(rest, at)
        if at[2:3] == ("command",):
            _stand_in(rest, at[:3])
    for _ in range(len(wrong) + 3):
        try:
            return Settings.model_validate(rest)
        except ValidationError as error:
            for at, _kind in _details(error):
                _drop(rest, at)
                _stand_in(rest, at)
    return Settings.model_validate(
        {"broker": {"url": "sqlite:///x"}, "store": {"url": "sqlite:///x"}, "handlers": {"default": _STAND_IN}}
    )


def _drop_in_item(values: dict[str, Any], at: KeyPath) -> bool:
    """Remove a wrong key of a list's item, so that its others can be checked; False where it is none."""
    places = [index for index, part in enumerate(at) if isinstance(part, int)]
    if not places or places[0] == len(at) - 1:
        return False
    item: Any = values
    for part in at[: places[0] + 1]:
        try:
            item = item[part]
        except (KeyError, IndexError, TypeError):
            return False
    return isinstance(item, dict) and item.pop(at[places[0] + 1], None) is not None


def _drop(values: dict[str, Any], at: KeyPath) -> None:
    """Remove a key; for an item of a list, the list."""
    names = list(itertools.takewhile(lambda part: isinstance(part, str), at))
    section: Any = values
    for name in names[:-1]:
        section = section.get(name) if isinstance(section, dict) else None
    if isinstance(section, dict) and names:
        section.pop(names[-1], None)


def _stand_in(values: dict[str, Any], at: KeyPath) -> None:
    match at:
        case ("broker" | "store",) | ("broker" | "store", "url"):
            values[str(at[0])] = {**values.get(str(at[0]), {}), "url": "sqlite:///x"}
        case ("handlers",):
            values["handlers"] = {"default": dict(_STAND_IN)}
        case ("handlers", name, "command") if isinstance(values.get("handlers", {}).get(name), dict):
            values["handlers"][name].update(_STAND_IN)


def _fault(sources: Sources, at: KeyPath, kind: str) -> Fault:
    match kind:
        case "missing" | "too_short" if at == ("handlers",):
            problem = (
                "is required: name a handler with its command in the file, or give one after -- on the command line"
            )
        case "missing":
            problem = f"is required: {_how_to_set(at, has_file=sources.origin(at) is not None)}"
        case "extra_forbidden":
            return _placed(sources, at, unknown_key(at), None)
        case "string_too_short" | "string_too_long" if len(at) == 2 and at[0] == "handlers":
            problem = "a task type has 1 – 100 characters"
        case "string_type":
            problem = f"must be {allowed(at)}: put it in quotes"
        case "list_type" if at not in sources.texts and (words := as_words(at, sources.value(at))) is not None:
            problem = f"must be a list of words, as {json.dumps(words, ensure_ascii=False)}"
        case _:
            problem = f"must be {allowed(at)}"
    return _told(sources, at, problem)


def _how_to_set(at: KeyPath, *, has_file: bool) -> str:
    names = variables_for(dotted(at))
    if not names:
        return f"it must be {allowed(at)}"
    if has_file:
        return f"set it in the file, or with {one_of(names)}"
    return f"there is no config.yaml here; set it in a file that -c names, or with {one_of(names)}"


def _told(sources: Sources, at: KeyPath, problem: str) -> Fault:
    return _placed(sources, at, problem, _shown(at, sources.value(at)))


def _placed(sources: Sources, at: KeyPath, problem: str, value: str | None) -> Fault:
    origin = sources.origin(at)
    return Fault(
        key=dotted(at),
        problem=problem,
        value=value,
        source=None if origin is None else origin.source,
        line=None if origin is None else origin.line,
    )


def _shown(at: KeyPath, value: Any) -> str | None:
    """A value for an error line: short, on one line; hidden where it is not known to be harmless."""
    if value is None or isinstance(value, dict | list):
        return None
    match shown(at, value):
        case str(text):
            return (
                text if text == HIDDEN else json.dumps(text[:80] + "…" if len(text) > 80 else text, ensure_ascii=False)
            )
        case bool(flag):
            return str(flag).lower()
        case number:
            return str(number)[:80]


def _same_or_inside(key: str, other: str) -> bool:
    return key == other or key.startswith((f"{other}.", f"{other}["))


def _position(fault: Fault) -> tuple[str, int]:
    return (fault.source or "", fault.line or 0)
