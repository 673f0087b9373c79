"""Settings for people's eyes: the values without secrets, and the schema of the file."""

from __future__ import annotations

from typing import Any

from gridsidecar.config.secrets import masked_value
from gridsidecar.config.settings import Settings


def masked(settings: Settings) -> dict[str, Any]:
    """Every key with the value in force, as plain values; passwords, tokens and secrets are hidden."""
    shown: dict[str, Any] = _hidden("", settings.model_dump(mode="json", by_alias=True))
    return shown


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the configuration file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Settings.model_json_schema(),
        "title": "gridsidecar configuration",
    }


def _hidden(name: str, value: Any) -> Any:
    match value:
        case dict():
            return {key: _hidden(key, item) for key, item in value.items()}
        case list():
            return [_hidden(name, item) for item in value]
        case str():
            return masked_value(name, value)
        case _:
            return value
