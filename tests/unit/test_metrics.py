"""Figures for Prometheus: what is counted of a task, how processes add up, and that its own tool takes the text."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gridsidecar.metrics import families
from gridsidecar.metrics.exposition import exposed
from gridsidecar.metrics.families import FAMILIES, FLEET
from gridsidecar.metrics.tally import Tally, lasting, total
from gridsidecar.metrics.worker import WorkerFigures
from gridsidecar.rules.task import ErrorType, Report, Status, TaskUpdate
from gridsidecar.runtime.health import Health
from gridsidecar.supervisor_link import _portions
from gridsidecar.supervisor_link.message_socket import LARGEST

DEPLOY = Path(__file__).parents[2] / "deploy"
promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)")


def figures(*handlers: str, health: Health | None = None) -> WorkerFigures:
    return WorkerFigures(
        "q",
        handlers or ("default", "resize"),
        slots=4,
        running=lambda: {"default": 1},
        lag=lambda: 0.25,
        health=lambda: health or Health(),
    )


def update(status: Status = Status.SUCCESS, **fields: Any) -> TaskUpdate:
    told: dict[str, Any] = {
        "task_id": "t",
        "task_type": "resize",
        "attempt": 1,
        "report": Report(duration_s=0.2, spawn_s=0.003),
        "outcome": "success" if status is Status.SUCCESS else "failed",
        "waited": 0.07,
        **fields,
    }
    return TaskUpdate(status=status, **told)


def samples(text: bytes) -> Mapping[str, float]:
    """`name{label=value,…}` of each sample."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_a_task_that_succeeds() -> None:
    own = figures()
    own.hear(update())
    found = samples(exposed(own.series()))
    assert found["gridsidecar_attempts_total{handler=resize,outcome=success,queue=q}"] == 1
    assert found["gridsidecar_tasks_ended_total{error_class=,handler=resize,outcome=success,queue=q}"] == 1
    assert found["gridsidecar_attempt_duration_seconds_sum{handler=resize,queue=q}"] == 0.2
    assert found["gridsidecar_attempt_duration_seconds_bucket{handler=resize,le=0.1,queue=q}"] == 0
    assert found["gridsidecar_attempt_duration_seconds_bucket{handler=resize,le=0.3,queue=q}"] == 1
    assert found["gridsidecar_attempt_duration_seconds_bucket{handler=resize,le=+Inf,queue=q}"] == 1
    assert found["gridsidecar_queue_wait_seconds_count{handler=resize,queue=q}"] == 1
    assert found["gridsidecar_spawn_seconds_count{handler=resize,queue=q}"] == 1
    assert found["gridsidecar_running{handler=default,queue=q}"] == 1
    assert found["gridsidecar_slots{queue=q}"] == 4
    assert found["gridsidecar_loop_lag_seconds{}"] == 0.25
    assert found["process_cpu_seconds_total{}"] > 0
    assert found["process_resident_memory_bytes{}"] > 1e6
    assert not [name for name in found if "_created" in name]


@pytest.mark.parametrize(
    ("error_type", "error_class"),
    [(ErrorType.WORKER_LOST, "WorkerLost"), ("TimeoutError", "TimeoutError"), ("KeyError: 'x'", "handler")],
)
def test_what_handlers_call_their_errors_makes_no_series(error_type: str, error_class: str) -> None:
    own = figures()
    own.hear(update(Status.FAILED, error_type=error_type))
    found = samples(exposed(own.series()))
    assert (
        found[f"gridsidecar_tasks_ended_total{{error_class={error_class},handler=resize,outcome=failed,queue=q}}"] == 1
    )


@pytest.mark.parametrize(
    ("handlers", "label"), [(("default", "resize"), "default"), (("resize",), "none"), (("resize", "x"), "x")]
)
def test_what_producers_call_their_tasks_makes_no_series(handlers: tuple[str, ...], label: str) -> None:
    own = figures(*handlers)
    own.hear(update(task_type="x", status=Status.RETRYING))
    assert own.series()["gridsidecar_retries_total", "q", label] == 1


def test_a_task_that_ends_without_an_attempt() -> None:
    own = figures()
    own.hear(update(Status.CANCELLED, report=None, outcome=None, waited=None))
    own.hear(update(Status.PENDING, report=Report(), outcome="not_started", waited=None))
    series = own.series()
    assert series["gridsidecar_tasks_ended_total", "q", "resize", "cancelled", ""] == 1
    assert [key for key in series if key[0] == families.ATTEMPTS.name] == [
        (families.ATTEMPTS.name, "q", "resize", "not_started")
    ]
    assert not [key for key in series if FAMILIES[key[0]].kind == "histogram"]


def test_a_reason_that_is_over_is_zero() -> None:
    state = {"health": Health(not_ready={"store": "away"})}
    own = figures()
    own._health = lambda: state["health"]
    assert own.series()["gridsidecar_not_ready", "store"] == 1
    state["health"] = Health({"lease": "died"}, {})
    series = own.series()
    assert (series["gridsidecar_not_ready", "store"], series["gridsidecar_not_ready", "lease"]) == (0, 1)


# -- several processes ------------------------------------------------------------------------------------------------


def test_processes_add_up_and_the_dead_are_not_forgotten() -> None:
    one, two, dead = figures(), figures(), figures()
    for own in (one, two, dead):
        own.hear(update())
    two._lag = lambda: 0.5
    whole = total((lasting(dead.series()), one.series(), two.series()))
    assert whole["gridsidecar_attempts_total", "q", "resize", "success"] == 3
    assert whole["gridsidecar_slots", "q"] == 8, "a dead one has none"
    assert whole["gridsidecar_loop_lag_seconds",] == 0.5
    duration = whole["gridsidecar_attempt_duration_seconds", "q", "resize"]
    assert (sum(duration[:-1]), round(duration[-1], 3)) == (3, 0.6)


def test_only_changes_travel() -> None:
    own = figures()
    own.hear(update())
    own.sample()
    first = dict(own.tally.changes())
    assert first == own.tally.series
    own.hear(update())
    own.sample()
    second = dict(own.tally.changes())
    assert ("gridsidecar_slots", "q") not in second
    assert second["gridsidecar_attempts_total", "q", "resize", "success"] == 2


def test_what_travels_fits_into_its_messages() -> None:
    own = Tally()
    for number in range(2000):
        own.observe(families.DURATION, 1.5, "q" * 200, f"{'任务' * 40}{number}")
    portions = [json.dumps({"metrics": portion}).encode() for portion in _portions(own.changes())]
    assert len(portions) > 10
    assert max(map(len, portions)) < LARGEST
    travelled = {tuple(key): value for portion in portions for key, value in json.loads(portion)["metrics"]}
    assert travelled == own.series


# -- what is made for these names -------------------------------------------------------------------------------------


def everything() -> bytes:
    """A text with a series of each family."""
    own = figures(health=Health(not_ready={"store": 'it says "no"\n\\'}))
    own.hear(update())
    own.hear(update(Status.RETRYING))
    for family in FLEET:
        own.tally.set(family, *("x" for _ in family.labels), to=1)
    return exposed(own.series())


def test_every_family_is_shown() -> None:
    shown = {family.name for family in text_string_to_metric_families(everything().decode())}
    assert shown == {name.removesuffix("_total") for name in FAMILIES}


def named_in(expression: str) -> set[str]:
    """The metrics of an expression, without what Prometheus adds to a histogram's name."""
    found = re.findall(r"\b(?:gridsidecar|process)_\w+", expression)
    return {re.sub(r"(_seconds)_(?:bucket|sum|count)$", r"\1", name) for name in found}


def expressions() -> list[str]:
    rules = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"][0]["rules"]
    panels = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
    return [rule["expr"] for rule in rules] + [each["expr"] for panel in panels for each in panel["targets"]]


def test_alerts_and_dashboard_ask_for_what_there_is() -> None:
    named = set().union(*map(named_in, expressions()))
    assert named <= set(FAMILIES)
    assert set(FAMILIES) - named <= {families.REACHABLE.name}, "what nobody looks at need not be counted"


def test_alerts_and_dashboard_ask_by_labels_that_there_are() -> None:
    of_prometheus = {"instance", "job", "le"}
    for expression in expressions():
        labels = set().union(*(FAMILIES[name].labels for name in named_in(expression)))
        asked = set(re.findall(r"(\w+)(?==~?\"|!=\")", expression))
        asked |= {word for by in re.findall(r"by \(([^)]*)\)", expression) for word in by.split(", ")}
        assert asked <= labels | of_prometheus, expression


def test_every_panel_has_its_place() -> None:
    panels = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
    places = [(each["gridPos"]["x"], each["gridPos"]["y"]) for each in panels]
    assert len(set(places)) == len(places)
    assert len({each["id"] for each in panels}) == len({each["title"] for each in panels}) == len(panels)


@promtool
def test_prometheus_takes_the_text() -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=everything(), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@promtool
def test_prometheus_takes_the_alerts() -> None:
    file = DEPLOY / "alerts.yaml"
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@promtool
def test_prometheus_takes_the_dashboards_expressions(tmp_path: Path) -> None:
    panels = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
    asked = [each["expr"].replace("$__rate_interval", "5m") for panel in panels for each in panel["targets"]]
    rules = [{"record": f"panel_{number}", "expr": each} for number, each in enumerate(asked)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
