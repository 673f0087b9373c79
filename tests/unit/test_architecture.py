"""docs/architecture.md and docs/decisions say what the code does."""

from __future__ import annotations

import itertools
import json
import random
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from gridsidecar.rules import lifecycle, steering
from gridsidecar.rules.reception import Begin, Claimant, Close, Insert, Row
from gridsidecar.rules.retry import RetryPolicy
from gridsidecar.rules.steering import KnownRow, Steered
from gridsidecar.rules.task import (
    Callback,
    Cancelled,
    CannotStart,
    Claim,
    Displaced,
    Failed,
    Interrupted,
    Message,
    NotStarted,
    Outcome,
    Status,
    Succeeded,
    Task,
)
from gridsidecar.wire.fields import FIELDS, OTHER_NAMES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "architecture.md").read_text()
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
MESSAGE = Message(body=b"{}")


def part(name: str) -> str:
    found = re.search(rf"<!-- {name} -->(.*?)<!-- /{name} -->", PAGE, re.S)
    assert found is not None
    return found[1]


def module(dotted: str) -> bool:
    path = ROOT / "gridsidecar" / dotted
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def levels(container: str) -> dict[str, int]:
    """How far down the layers of a package each of its modules is."""
    [layers] = [each["layers"] for each in CONTRACTS if each.get("containers") == [container]]
    return {name.strip(): level for level, names in enumerate(layers) for name in re.split(r"[|:]", names)}


@pytest.mark.parametrize(("picture", "folder"), [("parts", ""), ("delivery", "delivery/")])
class TestThePictures:
    def test_each_word_is_a_module(self, picture: str, folder: str) -> None:
        words = set(re.findall(r"[a-z_]+", part(picture)))
        assert len(words) >= 10
        assert sorted(word for word in words if not module(folder + word)) == []

    def test_what_stands_below_is_of_a_lower_layer(self, picture: str, folder: str) -> None:
        level = levels(f"gridsidecar/{folder}".rstrip("/").replace("/", "."))
        rows = [[level[name] for name in re.findall(r"[a-z_]+", line)] for line in part(picture).splitlines()]
        rows = [row for row in rows if row]
        assert rows[0] == sorted(rows[0])
        for higher, lower in itertools.pairwise(rows):
            assert min(lower) > max(higher)


def test_each_file_that_it_names_is_there() -> None:
    named = {name for name in re.findall(r"`([\w/.*]+)`", PAGE) if "/" in name or name.endswith(".py")}
    assert len(named) > 20
    missing = [
        name
        for name in sorted(named)
        if not any((base / name.rstrip("/*")).exists() for base in (ROOT, ROOT / "gridsidecar"))
    ]
    assert missing == []


def test_each_case_that_is_to_be_added_has_others_beside_it() -> None:
    """Where the page says that a kind gets its case in a file, that file tells the kinds apart."""
    files = re.findall(r"its case in (?:`\w+\.\w+` of )?`([\w/]+\.py)`", PAGE)
    assert len(files) >= 2
    without = [name for name in files if "case " not in (ROOT / "gridsidecar" / name).read_text()]
    assert without == []


def test_each_place_that_has_the_fields_of_a_message_has_all_of_them() -> None:
    protocol = ROOT / "protocol"
    schema = json.loads((protocol / "schema" / "v1" / "task-message.json").read_text())
    api = yaml.safe_load((protocol / "openapi.yaml").read_text())
    cases = json.loads((protocol / "vectors" / "task-messages.json").read_text())["cases"]
    places = {
        "rules/task.py": set(Task.__struct_fields__) - {"message", "fields", "callback"}
        | {f"callback_{name}" for name in Callback.__struct_fields__},
        "wire/fields.py": {"task_id", *FIELDS},
        "protocol/schema/v1/task-message.json": schema["properties"].keys() - OTHER_NAMES.keys(),
        "protocol/openapi.yaml": set(api["components"]["schemas"]["NewTask"]["properties"]),
        "protocol/vectors/task-messages.json": {name for case in cases for name in case["expect"].get("task", ())},
        "docs/tasks.md": set(re.findall(r"""[`"](\w+)[`"]""", (DOCS / "tasks.md").read_text())),
    }
    [recipe] = re.findall(r"^\| a field of a message \|.*", PAGE, re.M)
    assert [place for place in places if f"`{place}`" not in recipe] == []
    everything = {name for place, names in places.items() if place != "docs/tasks.md" for name in names}
    assert {place: lacking for place, names in places.items() if (lacking := everything - names)} == {}


def test_each_word_of_the_glossary_is_in_the_code() -> None:
    words = re.findall(r"^\| `(\w+)` \|", (DOCS / "glossary.md").read_text(), re.M)
    code = "\n".join(path.read_text() for path in (ROOT / "gridsidecar").rglob("*.py"))
    assert len(words) > 10
    assert [word for word in words if not re.search(rf"\b_?{word}", code)] == []


@pytest.mark.parametrize("page", sorted(DOCS.glob("decisions/*.md")), ids=lambda page: page.stem)
def test_decisions_are_short_and_listed(page: Path) -> None:
    text = page.read_text()
    assert len(text.splitlines()) <= 40
    if page.stem != "README":
        assert f"({page.name})" in (DOCS / "decisions" / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / link).exists(), link


# -- the table of states ----------------------------------------------------------------------------------------------


def test_the_table_of_states_has_what_the_rules_do_and_nothing_else() -> None:
    _, _, *lines = part("states").strip().splitlines()
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert {(before, after) for before, _, after in table} == deliveries() | ends() | wishes()


def deliveries() -> set[tuple[str, str]]:
    me = Claimant(worker_id="me", trusted=True)
    changes = {("–", "running"), ("–", "pending")}  # `Insert`: at once, or deferred
    assert isinstance(lifecycle.receive(None, MESSAGE, me), Insert)
    for status, cancel, lease, crashes in itertools.product(Status, (False, True), (None, 9.0, -9.0), (0, 3)):
        row = Row(
            status=status,
            attempt=1,
            worker_id="other" if status is Status.RUNNING else None,
            cancel_requested=cancel,
            lease_left=lease,
            crashes=crashes,
        )
        match lifecycle.receive(row, MESSAGE, me):
            case Begin():
                changes.add((str(status), "running"))
            case Close(status=after):
                changes.add((str(status), str(after)))
    return changes


def ends() -> set[tuple[str, str]]:
    changes = set()
    outcomes: tuple[Outcome, ...] = (
        Succeeded(None),
        Failed(error="", error_type="x"),
        Cancelled(),
        Interrupted(),
        Displaced(error="", error_type="x", suspect=True),
        NotStarted(),
        CannotStart(""),
    )
    for outcome, retries, interruptions in itertools.product(outcomes, (0, 1), (0, 50)):
        claim = Claim(
            task=Task(task_id="t", message=MESSAGE),
            attempt=1,
            worker_id="me",
            max_retry_count=retries,
            interruptions=interruptions,
            crashes=3,
        )
        end = lifecycle.decide(claim, outcome, RetryPolicy(), random.Random(1), max_crashes=3)
        assert end is not None
        changes.add(("running", str(end.status)))
    return changes


def wishes() -> set[tuple[str, str]]:
    changes = set()
    for status in (None, *Status):
        row = None if status is None else KnownRow(status=status, attempt=1)
        before = "–" if status is None else str(status)
        if steering.cancel(row) in (Steered.CANCELLED, Steered.NOTED):
            changes.add((before, "cancelled"))
        if steering.retry(row) is Steered.RETRIED:
            changes.add((before, "pending"))
    return changes
