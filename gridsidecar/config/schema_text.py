"""What is allowed for a key, in words, out of the settings' own schema."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache
from typing import Any

from gridsidecar.config.settings import Settings
from gridsidecar.config.yaml_tree import KeyPath

Schema = dict[str, Any]


@cache
def settings_schema() -> Schema:
    return Settings.model_json_schema()


def allowed(path: KeyPath) -> str:
    """What the value of a key must be: `a whole number from 1 to 1000`."""
    schema = _schema_at(path)
    return _words(schema, " of seconds" if "econds" in schema.get("description", "") else "")


def has_choices(path: KeyPath) -> bool:
    """Whether a value of a key is a number, true or false, or one of a few words."""
    schema = _schema_at(path)
    return any(
        "enum" in choice or "const" in choice or choice.get("type") in ("integer", "number", "boolean")
        for choice in map(_resolved, schema.get("anyOf", [schema]))
    )


def known_keys(path: KeyPath) -> list[str]:
    """The keys of a section."""
    return list(_schema_at(path).get("properties", {}))


def unknown_key(path: KeyPath) -> str:
    """The problem with a key that nobody knows, with the nearest one that exists."""
    known = known_keys(path[:-1])
    near = difflib.get_close_matches(str(path[-1]).replace("-", "_").lower(), known, n=1, cutoff=0.6)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; known here: {', '.join(known)}" if known else "unknown key"


def _schema_at(path: KeyPath) -> Schema:
    schema = _resolved(settings_schema())
    for part in path:
        schema = next((choice for choice in schema.get("anyOf", []) if "items" in choice), schema)  # a list, or null
        if isinstance(part, int):
            schema = schema.get("items", {})
        else:
            schema = schema.get("properties", {}).get(part) or schema.get("additionalProperties") or {}
        schema = _resolved(schema) if isinstance(schema, dict) else {}
    return schema


def _resolved(schema: Schema) -> Schema:
    if "$ref" in schema:
        return dict(settings_schema()["$defs"][schema["$ref"].rsplit("/", 1)[1]])
    return schema


def _words(schema: Schema, unit: str = "") -> str:
    if "anyOf" in schema:
        return one_of([words for choice in schema["anyOf"] for words in _choices(_resolved(choice), unit)])
    if "enum" in schema:
        return one_of(_choices(schema, unit))
    if "const" in schema:
        return str(schema["const"])
    match schema.get("type"):
        case "integer":
            return "a whole number" + unit + _range(schema)
        case "number":
            return "a number" + unit + _range(schema)
        case "boolean":
            return "true or false"
        case "string":
            return "text" + _length(schema)
        case "array":
            return "a list" + (" with at least one item" if schema.get("minItems") else "")
        case "object":
            return _object_words(schema)
        case "null":
            return "null"
        case _:
            return "a value of another kind"


def _choices(schema: Schema, unit: str) -> list[str]:
    return [str(name) for name in schema["enum"]] if "enum" in schema else [_words(schema, unit)]


def one_of(choices: Sequence[str]) -> str:
    """`a, b or c`"""
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last


def _object_words(schema: Schema) -> str:
    if schema.get("properties"):
        return f"a section with keys such as {', '.join(list(schema['properties'])[:3])}"
    return "a section of names and values" + (", with at least one" if schema.get("minProperties") else "")


def _range(schema: Schema) -> str:
    low, high, above = schema.get("minimum"), schema.get("maximum"), schema.get("exclusiveMinimum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if above is not None:
        return f" above {above:g}"
    return "" if low is None else f" of at least {low:g}"


def _length(schema: Schema) -> str:
    limits = []
    if schema.get("minLength"):
        limits.append(f"at least {schema['minLength']}")
    if schema.get("maxLength"):
        limits.append(f"at most {schema['maxLength']}")
    said = f" of {' and '.join(limits)} characters" if limits else ""
    return said + (f" that matches {schema['pattern']}" if "pattern" in schema else "")
