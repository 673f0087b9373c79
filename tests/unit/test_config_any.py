"""Whatever stands in the file, it is settings or faults, never another exception."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from gridsidecar.config.load import load
from gridsidecar.config.settings import Settings
from gridsidecar.errors import ConfigError
from tests.unit.test_config_show import EXAMPLE, all_keys

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["${A}", "x${", "5"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = [key for key, _ in all_keys(Settings)]
SECTIONS = sorted({key[: key.rindex(".")] for key in KEYS if "." in key} | {"zzz", "handlers.default.zzz"})


def check(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        try:
            load(str(path), environ={}, dotenv=None)
        except ConfigError as error:
            told = [str(fault) for fault in error.faults]
            assert told
            assert len(set(told)) == len(told)


@given(st.text(max_size=60) | st.text("ab:[]{}&*<!-#|>'\"\n \t%@`,?${}", max_size=40))
def test_any_text(text: str) -> None:
    check(text)


@given(st.dictionaries(st.sampled_from([*KEYS, *SECTIONS]), values, min_size=1, max_size=4))
def test_any_values_in_the_places_of_others(changes: dict[str, Any]) -> None:
    document = yaml.safe_load(EXAMPLE.read_text())
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = document
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[last] = value
    check(yaml.safe_dump(document, allow_unicode=True))
