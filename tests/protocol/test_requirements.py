"""Each MUST of the specification has something that holds it, and what is said to hold it is there."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from gridsidecar.conformance import CHECKS, SERVER_CHECKS

ROOT = Path(__file__).parents[2]
PROTOCOL = ROOT / "protocol"
README = (PROTOCOL / "README.md").read_text()
REQUIREMENT = re.compile(r"^- \*\*([A-Z]\d+)\*\* \((handler|sidecar|both)\) (.*(?:\n  .*)*)", re.MULTILINE)
REQUIREMENTS = {match[1]: match[3] for match in REQUIREMENT.finditer(README)}
HELD: dict[str, dict[str, Any]] = yaml.safe_load((PROTOCOL / "requirements.yaml").read_text())
KINDS = {"vectors", "transcripts", "checks", "tests", "none"}


def test_ids_are_unique_and_in_order() -> None:
    ids = [match[1] for match in REQUIREMENT.finditer(README)]
    assert len(ids) > 80
    assert len(set(ids)) == len(ids)
    for letter in {each[0] for each in ids}:
        numbers = [int(each[1:]) for each in ids if each[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1)), letter


def test_every_line_that_requires_something_has_an_id() -> None:
    rest = REQUIREMENT.sub("", README)
    allowed = ("MUST, SHOULD and MAY are those of RFC 2119", "each MUST of this page", "A SHOULD gives a warning")
    for words in allowed:
        assert words in rest
        rest = rest.replace(words, "")
    assert re.findall(r".*\b(?:MUST|SHOULD|MAY|SHALL)\b.*", rest) == []
    assert [name for name, text in REQUIREMENTS.items() if not re.search(r"\b(MUST|SHOULD|MAY)\b", text)] == []


def test_every_must_is_held_and_nothing_else_is() -> None:
    musts = {name for name, text in REQUIREMENTS.items() if re.search(r"\bMUST\b", text)}
    assert musts - HELD.keys() == set()
    assert HELD.keys() - REQUIREMENTS.keys() == set()


@pytest.mark.parametrize("name", list(HELD))
def test_what_holds_it_is_there(name: str) -> None:
    held = HELD[name]
    assert held
    assert held.keys() <= KINDS
    assert "none" not in held or len(held) == 1
    for file in held.get("vectors", []):
        cases = json.loads((PROTOCOL / "vectors" / f"{file}.json").read_text())["cases"]
        assert any(case["requirement"] == name for case in cases), file
    for file in held.get("transcripts", []):
        assert name in json.loads((PROTOCOL / "transcripts" / f"{file}.json").read_text())["requirements"], file
    for node in held.get("tests", []):
        file, _, function = node.partition("::")
        assert function in functions(ROOT / file), node
    assert sorted(held.get("checks", [])) == sorted(
        {check.name for check in (*CHECKS, *SERVER_CHECKS) if name in check.requirements}
    )


@cache
def functions(file: Path) -> frozenset[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.parse(file.read_text()).body if isinstance(node, kinds))


@pytest.mark.parametrize("file", sorted(path.name for path in (PROTOCOL / "vectors").iterdir()))
def test_every_vector_names_a_requirement_and_itself(file: str) -> None:
    cases = json.loads((PROTOCOL / "vectors" / file).read_text())["cases"]
    assert {case["requirement"] for case in cases} - REQUIREMENTS.keys() == set()
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names)


def test_every_revision_of_a_vector_is_told_under_changes() -> None:
    changes = README.partition("\n## Changes\n")[2]
    told = {int(number): row for number, row in re.findall(r"^\| (\d+) \| (.*)", changes, re.MULTILINE)}
    for path in (PROTOCOL / "vectors").iterdir():
        for case in json.loads(path.read_text())["cases"]:
            assert case.get("revision", 1) in told, case["name"]
    for name in ("C3", "M2", "M3", "M14", "O3", "O6", "P4", "V2"):
        assert re.search(rf"\b{name}\b", told[2]), name


def test_every_transcript_and_check_names_requirements() -> None:
    for path in (PROTOCOL / "transcripts").glob("*.json"):
        assert set(json.loads(path.read_text())["requirements"]) - REQUIREMENTS.keys() == set(), path
    assert {name for check in (*CHECKS, *SERVER_CHECKS) for name in check.requirements} - REQUIREMENTS.keys() == set()


@pytest.mark.parametrize(("language", "file"), [("sh", "oneshot.sh"), ("python", "persistent.py")])
def test_the_handlers_of_the_page_are_the_examples(language: str, file: str) -> None:
    block = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert block is not None
    assert block[1] == (PROTOCOL / "examples" / file).read_text()


def test_links_of_the_page_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert len(links) > 5
    assert [link for link in links if not (PROTOCOL / link).exists()] == []
