"""`python -m benchmarks --smoke`: every scenario in its smallest size, from the servers to the picture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import report
from benchmarks.results import Results
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.peers import ONESHOT_8, WARM_2

ROOT = Path(__file__).parents[2]
PAGE = "before\n<!-- benchmarks:{name} -->\nold\n<!-- /benchmarks:{name} -->\nafter\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a smoke run leaves behind."""
    folder = tmp_path_factory.mktemp("benchmarks")
    command = [sys.executable, "-m", "benchmarks", "--smoke", "--out", str(folder)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    (folder / "report.md").write_text(answer.stdout)
    return folder


@pytest.mark.alone
@pytest.mark.timeout(600)  # half a minute on a quiet machine
def test_a_smoke_run_measures_draws_and_reports_everything(folder: Path) -> None:
    content: dict[str, Any] = json.loads((folder / "results.json").read_text())
    assert set(content) == set(SCENARIOS)
    for name, scenario in SCENARIOS.items():
        about = content[name]["about"]
        assert about["commits"]["this"]
        assert about["machine"]["cores"] >= 1
        assert {"Python", "RabbitMQ", "database"} <= set(about["versions"])
        for contestant, figures in content[name]["figures"].items():
            (value,) = figures[scenario.figure]
            assert 0 < value < 1_000_000, contestant
        picture = ElementTree.parse(folder / f"{name}.svg")
        assert scenario.title.replace("`", "") in "".join(picture.getroot().itertext()).replace("\n", "")
    _a_task_costs_what_its_processes_spend(content["peers"]["figures"])
    _pages_are_filled(folder)


def _a_task_costs_what_its_processes_spend(peers: dict[str, Any]) -> None:
    """Sidecar, commands, database and broker all worked, and the persistent handlers are not the sidecar's own."""
    for contestant in (ONESHOT_8, WARM_2):
        figures = peers[contestant]
        costs = [figures[f"cpu_{part}"][0] for part in ("own", "commands", "database", "broker")]
        assert all(0 <= cost < 1000 for cost in costs), contestant
        assert figures["cpu_own"][0] > 0
        assert 20 < figures["rss_mib"][0] < 200


def _pages_are_filled(folder: Path) -> None:
    found = Results.read(folder)
    text = (folder / "report.md").read_text()
    assert "against Celery prefork" in text
    assert ONESHOT_8 in report.fill(PAGE.format(name="peers"), found, "benchmarks")
    page = report.fill(PAGE.format(name="budgets"), found, "")
    assert "old" not in page
    assert page.startswith("before\n<!-- benchmarks:budgets -->\n\n| what |")
    assert page.endswith("|\n\n<!-- /benchmarks:budgets -->\nafter\n")
    assert report.fill(page, found, "") == page
    assert "old" in report.fill(PAGE.format(name="unknown"), found, "")


def test_what_was_measured_at_another_time_stays_in_the_pages(tmp_path: Path) -> None:
    about = {
        "commits": {"this": "1234567"},
        "measured_at": "2026-01-01T00:00:00+00:00",
        "machine": {"cores": 2, "cpu": "some kind", "memory_mib": 2048, "system": "Linux"},
        "versions": {"Python": "3.11"},
        "database": {},
        "rounds": 1,
    }
    (tmp_path / "docs").mkdir()
    for page in report.PAGES:
        (tmp_path / page).write_text(PAGE.format(name="latency") + PAGE.format(name="table_size"))
    for name, contestant, figure in (
        ("latency", "oneshot", "p50_ms"),
        ("table_size", "rows · 0", "rate"),
        ("latency", "persistent", "p50_ms"),
    ):
        Results({name: {contestant: {figure: [4.0], "at": [0]}}}, {name: about}).write(tmp_path / "run")
        report.publish(tmp_path / "run", tmp_path)
    page = (tmp_path / "docs/benchmarks.md").read_text()
    assert [name in page for name in ("rows · 0", "persistent", "oneshot |")] == [True, True, False]
    assert page.count("Commit 1234567, 2026-01-01; 2 cores of some kind") == 2


def test_the_pages_show_every_scenario() -> None:
    page = (ROOT / "docs/benchmarks.md").read_text()
    for name in (*SCENARIOS, "budgets"):
        assert f"<!-- benchmarks:{name} -->" in page
        assert f"<!-- /benchmarks:{name} -->" in page


def test_an_unknown_scenario_is_refused() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nonsense", "--smoke"], cwd=ROOT, capture_output=True, text=True
    )
    assert answer.returncode == 64
    assert "no scenario nonsense" in answer.stderr
    assert "table_size" in answer.stderr
