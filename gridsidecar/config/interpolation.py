"""`${VAR}`, `${VAR:-default}` and `${file:/path}` inside the strings of a configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field

from gridsidecar.config.secret_files import filled
from gridsidecar.config.yaml_tree import KeyPath, retyped

_REFERENCE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{file:([^}]*)\}|\$\{")


class Expanded(Struct, frozen=True):
    """`values` with every reference replaced.

    `recipes` has the texts in which files stand, with all but these replaced, see `secret_files`.
    `texts` has the text behind each value that was typed anew, for keys that want text after all; `problems` says
    by key path what could not be replaced.
    """

    values: dict[str, Any]
    texts: dict[KeyPath, str] = field(default_factory=dict)
    problems: dict[KeyPath, str] = field(default_factory=dict)
    recipes: dict[KeyPath, str] = field(default_factory=dict)


def expand(values: dict[str, Any], variables: Mapping[str, str]) -> Expanded:
    """`$$` is a dollar sign; a value that is one whole reference is typed anew, as the text would be in the file."""
    expanded = Expanded({})
    expanded.values.update(_walked(values, (), lambda text, at: _text(text, at, variables, expanded)))
    return expanded


def _walked(value: Any, at: KeyPath, replace: Callable[[str, KeyPath], Any]) -> Any:
    match value:
        case dict():
            return {key: _walked(item, (*at, key), replace) for key, item in value.items()}
        case list():
            return [_walked(item, (*at, index), replace) for index, item in enumerate(value)]
        case str():
            return replace(value, at) if "$" in value else value
        case _:
            return value


def _text(text: str, at: KeyPath, variables: Mapping[str, str], expanded: Expanded) -> Any:
    def replacement(found: re.Match[str]) -> str:
        if found[0] == "$$" or found[3] is not None:
            return found[0]
        if found[1] is None:
            expanded.problems[at] = "write ${NAME}, ${NAME:-default} or ${file:/path}, and $$ for a dollar sign"
            return found[0]
        value = variables.get(found[1])
        if found[2] is not None:
            return (value or found[2]).replace("$", "$$")
        if value is None:
            expanded.problems[at] = f"the variable {found[1]} is not set: set it, or write ${{{found[1]}:-default}}"
            return ""
        return value.replace("$", "$$")

    recipe = _REFERENCE.sub(replacement, text)
    whole = _REFERENCE.fullmatch(text)
    try:
        result = filled(recipe)
    except ValueError as error:
        expanded.problems[at] = str(error)
        return ""
    if "${file:" in text:
        expanded.recipes[at] = recipe
    if whole is None or whole[1] is None:
        return result
    expanded.texts[at] = result
    return retyped(result)
