"""Settings for people's eyes: the values without secrets, and the schema of the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gridsidecar.config.redaction import shown
from gridsidecar.config.settings import Settings
from gridsidecar.config.sources import Sources
from gridsidecar.config.yaml_tree import KeyPath, dotted


def masked(settings: Settings) -> dict[str, Any]:
    """Every key with the value in force, as plain values; what is not known to be harmless is hidden."""
    visible: dict[str, Any] = _visible((), settings.model_dump(mode="json", by_alias=True))
    return visible


def with_origins(settings: Settings, sources: Sources) -> Iterator[tuple[str, Any, str | None]]:
    """Each single value by its dotted key, secrets hidden, and where it came from; None: the default."""
    yield from _leaves(masked(settings), (), sources)


def _leaves(value: Any, at: KeyPath, sources: Sources) -> Iterator[tuple[str, Any, str | None]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*at, key), sources)
        return
    origin = sources.origin(at) if sources.value(at) is not None else None
    place = None if origin is None else origin.source + ("" if origin.line is None else f":{origin.line}")
    yield dotted(at), value, place


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the configuration file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Settings.model_json_schema(),
        "title": "gridsidecar configuration",
    }


def _visible(at: KeyPath, value: Any) -> Any:
    match value:
        case dict():
            return {key: _visible((*at, key), item) for key, item in value.items()}
        case list():
            return [_visible((*at, index), item) for index, item in enumerate(value)]
        case _:
            return shown(at, value)
