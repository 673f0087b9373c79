"""How long a running task goes on after the command that cancels it has returned."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.e2e.test_persistent import handler
from tests.support.cli import gridsidecar
from tests.support.place import Place
from tests.support.waiting import eventually

PROMISED = 2.0  # seconds
TIMES = 3


def oneshot(place: Place) -> dict[str, Any]:
    return place.job("for", 600)


def persistent(place: Place) -> dict[str, Any]:
    return handler(place, "ready-cancel", kill_grace=20)


@pytest.mark.alone
@pytest.mark.parametrize("kind", [oneshot, persistent])
async def test_a_running_task_ends_within_two_seconds_wherever_it_runs(
    any_place: Place, start: Start, kind: Callable[[Place], dict[str, Any]], record_property: Callable[[str, Any], None]
) -> None:
    """Two workers; the command knows neither. One handler obeys SIGTERM, the other is told and stays."""
    place = any_place
    config = place.config({"default": kind(place)}, worker={"concurrency": TIMES})
    (place.folder / "config.yaml").write_text(json.dumps(config))
    for _ in range(2):
        await start(config).ready()
    ids = [f"t{number}" for number in range(2 * TIMES)]
    await place.publish(*({"task_id": one, "data": {"do": "until_cancelled"}} for one in ids))
    await eventually(lambda: place.statuses() == {"running": len(ids)})
    assert len({row["worker_id"] for row in place.rows().values()}) == 2
    took = [await _cancelled(place, task_id) for task_id in ids]
    record_property("seconds", took)
    print(f"{kind.__name__}: {', '.join(f'{seconds:.2f}' for seconds in sorted(took))} s from the command to the end")
    assert max(took) < PROMISED, took


async def _cancelled(place: Place, task_id: str) -> float:
    """Seconds from the command's return to the row's end; 0 where that was earlier."""
    done = await asyncio.to_thread(gridsidecar, Path(place.folder), "tasks", "cancel", task_id)
    returned = time.monotonic()
    assert (done.returncode, done.stdout) == (0, f"{task_id}  runs, its worker is told\n"), done.stderr
    await eventually(lambda: place.status(task_id) == "cancelled")
    return time.monotonic() - returned
