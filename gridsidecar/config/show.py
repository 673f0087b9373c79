"""Settings for people's eyes: the values without secrets, and the schema of the file."""

from __future__ import annotations

from typing import Any

from gridsidecar.config.harmless import shown
from gridsidecar.config.settings import Settings
from gridsidecar.config.yaml_tree import KeyPath


def masked(settings: Settings) -> dict[str, Any]:
    """Every key with the value in force, as plain values; what is not known to be harmless is hidden."""
    visible: dict[str, Any] = _visible((), settings.model_dump(mode="json", by_alias=True))
    return visible


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
