"""docs/reliability.md names only tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()


def test_every_test_that_it_names_exists() -> None:
    named = set(re.findall(r"tests/[\w/]+\.py", PAGE))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_soak_that_it_shows_lost_nothing() -> None:
    header, _, values = re.search(r"\| attempted .*\n.*\n.*", PAGE)[0].splitlines()  # type: ignore[index]
    table = dict(zip(*([cell.strip() for cell in line.split("|")[1:-1]] for line in (header, values)), strict=True))
    assert int(table["confirmed"]) > 1000
    assert table["lost"] == table["overlapping"] == table["unsent"] == "0"


def test_every_file_of_faults_has_its_place() -> None:
    files = {f"tests/faults/{file.name}" for file in (ROOT / "tests" / "faults").glob("test_*.py")}
    assert sorted(name for name in files if name not in PAGE) == ["tests/faults/test_abuse_secrets.py"]
