"""The page of all keys says what the program does."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridsidecar.config.reference_page import reference
from gridsidecar.config.settings import Settings
from gridsidecar.config.variables import COMPOSED_FROM, VARIABLES
from gridsidecar.language import speak
from tests.unit.test_config_show import all_keys

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("language", "name"), [("en", "configuration.md"), ("zh", "configuration.zh-CN.md")])
def test_the_page_is_the_programs_own(language: str, name: str) -> None:
    speak(language)
    try:
        page = reference()
    finally:
        speak("en")
    assert (DOCS / name).read_text() == page, f"run: gridsidecar --lang {language} config reference > docs/{name}"


def test_values_stay_as_they_are_written() -> None:
    """Some of them are words that other sentences have."""
    assert '| `handlers.NAME.input` | `"task"` | task 或 data |' in (DOCS / "configuration.zh-CN.md").read_text()


def test_every_key_and_variable_has_its_row() -> None:
    page = reference()
    keys = [key.replace("handlers.default.", "handlers.NAME.") for key, _ in all_keys(Settings)]
    assert len(keys) > 60
    for key in keys:
        if key not in ("notify", "handlers.default", "handlers"):
            assert f"| `{key}` |" in page, key
    for names in (*VARIABLES.values(), *COMPOSED_FROM.values()):
        for name in names:
            assert f"`{name}`" in page
