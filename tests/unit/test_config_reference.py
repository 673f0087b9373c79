"""The page of all keys says what the program does."""

from __future__ import annotations

from pathlib import Path

from gridsidecar.config.reference_page import reference
from gridsidecar.config.settings import Settings
from gridsidecar.config.variables import COMPOSED_FROM, VARIABLES
from tests.unit.test_config_show import all_keys

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_the_programs_own() -> None:
    assert PAGE.read_text() == reference(), "run: gridsidecar config reference > docs/configuration.md"


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
