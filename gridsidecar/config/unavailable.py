"""Keys whose feature is not built yet: refused unless they hold their default, instead of doing nothing in silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from gridsidecar.config.settings import Settings
from gridsidecar.config.yaml_tree import KeyPath

# Delete an entry when its feature comes; nothing else has to change.
NOT_AVAILABLE: tuple[str, ...] = ("broker.management_url",)


def unavailable_keys(settings: Settings) -> Iterator[KeyPath]:
    """The keys that ask for something that this version cannot do."""
    for pattern in NOT_AVAILABLE:
        yield from _asked_for(settings, tuple(pattern.split(".")), ())


def _asked_for(value: Any, pattern: tuple[str, ...], at: KeyPath) -> Iterator[KeyPath]:
    """Follow a pattern down the models; `*` is every key of a mapping."""
    name, *rest = pattern
    if name == "*":
        for key, item in value.items():
            yield from _asked_for(item, tuple(rest), (*at, key))
        return
    child = getattr(value, name)
    if rest:
        yield from _asked_for(child, tuple(rest), (*at, name))
    else:
        yield from _changed(child, type(value).model_fields[name].default, (*at, name))


def _changed(value: Any, default: Any, at: KeyPath) -> Iterator[KeyPath]:
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _changed(getattr(value, name), field.default, (*at, field.alias or name))
    elif value != default:
        yield at
