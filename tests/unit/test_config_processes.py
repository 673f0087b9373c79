"""The parts of several processes: together they are what is configured, and nobody's part is nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.config.load import load
from gridsidecar.config.processes import processes_of, share, shared_types
from gridsidecar.config.settings import Settings, WorkerSettings
from gridsidecar.errors import ConfigError
from gridsidecar.handler import width_of


def settings(worker: dict[str, Any], **handlers: dict[str, Any]) -> Settings:
    return Settings.model_validate(
        {
            "broker": {"url": "sqlite:///q.db"},
            "store": {"url": "sqlite:///q.db"},
            "worker": {"name": "w", **worker},
            "handlers": {name: {"command": ["cat"], **keys} for name, keys in {"default": {}, **handlers}.items()},
            "hooks": {"on_startup": ["a"], "on_shutdown": ["b"], "on_task_end": ["c"]},
        }
    )


def test_what_processes_are_given_is_what_was_read() -> None:
    server = {"command": [], "mode": "http", "url": "http://127.0.0.1:8000/"}
    whole = settings({"processes": 2}, server=server)
    assert Settings.model_validate(whole.model_dump(by_alias=True)) == whole


def parts(whole: Settings, of: int) -> list[Settings]:
    return [share(whole, number, of) for number in range(1, of + 1)]


@pytest.mark.parametrize("of", [2, 3, 7])
@pytest.mark.parametrize("concurrency", [7, 8, 9, 1000])
@pytest.mark.parametrize("limit", [0, 7, 8, 2000])
def test_the_parts_of_a_limit_are_the_whole(of: int, concurrency: int, limit: int) -> None:
    warm = {"mode": "persistent", "persistent": {"processes": limit}}
    whole = settings({"concurrency": concurrency}, limited={"concurrency": limit}, warm=warm)
    ours = parts(whole, of)
    assert sum(part.worker.concurrency for part in ours) == concurrency
    for name in ("default", "limited", "warm"):
        widths = [width_of(part.handlers[name], part.worker.concurrency) for part in ours]
        assert sum(widths) == width_of(whole.handlers[name], concurrency)
        assert min(widths) >= 1
    assert sum(part.handlers["warm"].persistent.processes for part in ours) == min(limit, concurrency)
    assert shared_types(whole, of) == {}


def test_a_limit_below_the_number_of_processes_is_that_of_all_and_nobodys_part() -> None:
    whole = settings({"concurrency": 8}, one={"concurrency": 1}, three={"concurrency": 3}, four={"concurrency": 4})
    assert shared_types(whole, 4) == {"one": 1, "three": 3}
    first, last = share(whole, 1, 4), share(whole, 4, 4)
    assert [first.handlers[name].concurrency for name in ("one", "three", "four")] == [1, 2, 1]
    assert [last.handlers[name].concurrency for name in ("one", "three", "four")] == [1, 2, 1]


def test_each_has_a_name_of_its_own_and_no_hook_of_the_whole() -> None:
    ours = parts(settings({"concurrency": 4, "idle_timeout": 5}), 2)
    assert [part.worker.name for part in ours] == ["w-1", "w-2"]
    for part in ours:
        assert (part.hooks.on_startup, part.hooks.on_shutdown, part.hooks.on_task_end) == (None, None, ["c"])
        assert part.worker.idle_timeout == 5


def test_what_is_held_is_divided() -> None:
    whole = settings({"processes": 2, "concurrency": 4, "prefetch": 5})
    assert [share(whole, number, 2).worker.prefetch for number in (1, 2)] == [3, 2]
    assert share(settings({"processes": 2, "concurrency": 4}), 1, 2).worker.prefetch is None


def test_auto_is_one_for_each_core_that_has_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    warm = {"mode": "persistent", "persistent": {"processes": 3}}
    assert processes_of(settings({"processes": "auto", "concurrency": 50})) == 6
    assert processes_of(settings({"processes": "auto", "concurrency": 4})) == 4
    assert processes_of(settings({"processes": "auto", "concurrency": 50}, warm=warm)) == 3
    assert processes_of(settings({"processes": 2, "concurrency": 50})) == 2


def test_it_is_known_of_each_setting_of_the_worker_whether_it_is_divided() -> None:
    """One that is a figure of the whole sidecar needs a line in `share`."""
    of_each = {
        *("processes", "idle_timeout", "burst", "burst_timeout", "burst_check_interval", "burst_wait"),
        *("shutdown_grace", "lease", "memory_budget_mb", "max_crashes", "unknown_types"),
    }
    divided = {"name", "concurrency", "prefetch", "heartbeat_file"}
    assert set(WorkerSettings.model_fields) == divided | of_each


def test_what_counts_for_all_workers_is_not_divided() -> None:
    breaker = {"failures": 4, "cool_down": 9}
    part = share(settings({"concurrency": 8}, x={"rate": "100/1m", "breaker": breaker}), 2, 2)
    handler = part.handlers["x"]
    assert handler.rate == "100/1m"
    assert handler.breaker.model_dump() == breaker


WARM = "handlers: {default: {command: [cat], mode: persistent, persistent: {processes: 2}}}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("worker: {processes: 0}", "worker.processes = 0: must be a whole number from 1 to 1000 or auto"),
        ("worker: {processes: 1001}", "must be a whole number from 1 to 1000 or auto"),
        ("worker: {processes: two}", 'worker.processes = "two": must be a whole number from 1 to 1000 or auto'),
        ("worker: {processes: true}", "must be a whole number from 1 to 1000 or auto"),
        ("worker: {processes: 1.5}", "must be a whole number from 1 to 1000 or auto"),
        ("worker: {processes: null}", "must be a whole number from 1 to 1000 or auto"),
        ("worker: {processes: [2]}", "must be a whole number from 1 to 1000 or auto"),
        ("worker: {processes: 2}", "worker.processes = 2: must not be more than worker.concurrency (1)"),
        ("worker: {processes: 9, concurrency: 8}", "must not be more than worker.concurrency (8)"),
        ("worker: {processes: 3, concurrency: 8}\n" + WARM, "the processes that handlers.default may keep (2)"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "config.yaml"
    handlers = "" if "handlers" in text else "handlers: {default: {command: [cat]}}\n"
    file.write_text(f"broker: {{url: 'sqlite:///q'}}\nstore: {{url: 'sqlite:///q'}}\n{text}\n{handlers}")
    with pytest.raises(ConfigError) as caught:
        load(str(file), environ={}, dotenv=None)
    (fault,) = caught.value.faults
    assert problem in str(fault)
    assert (fault.key, fault.line) == ("worker.processes", 3)


@pytest.mark.parametrize("value", [1, 8, "auto"])
def test_what_can_be_is_taken(value: int | str) -> None:
    assert settings({"concurrency": 8, "processes": value}).worker.processes == value
