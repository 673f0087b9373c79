"""What is allowed for a key, in words, out of the settings' own schema."""

from __future__ import annotations

import difflib
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
    return _words(_schema_at(path))


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


def _words(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(_words(_resolved(choice)) for choice in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        names = [str(name) for name in schema["enum"]]
        return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
    match schema.get("type"):
        case "integer":
            return "a whole number" + _range(schema)
        case "number":
            return "a number" + _range(schema)
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
