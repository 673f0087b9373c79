"""What is told of tasks and the rest has the fields that its types name, no more and no fewer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NotRequired, get_origin, get_type_hints

import pytest

from gridsidecar import views
from gridsidecar.broker import QueueInfo, make_broker
from gridsidecar.config.settings import BrokerSettings, Settings
from gridsidecar.fleet import Fleet, Where, reach
from gridsidecar.operations import shapes
from gridsidecar.operations.figures import NONE, read_figures
from gridsidecar.rules.task import Callback, Message, Succeeded
from gridsidecar.store import OperationKind
from gridsidecar.telemetry import Readiness
from tests.store.workers import QUEUE, Two, end, listed, task


def assert_fields(told: Any, kind: type, *also: str) -> None:
    """The fields of `kind`, with those `also` that may be missing."""
    hints = get_type_hints(kind, include_extras=True)
    always = {name for name, hint in hints.items() if get_origin(hint) is not NotRequired}
    assert set(told) == always | set(also)


async def test_tasks(two: Two) -> None:
    await two.retrying()
    view = await two.a.reading.get("t")
    assert view is not None
    assert_fields(view, views.TaskView, "paused")
    (one,) = await listed(two.a)
    assert_fields(one, views.TaskSummary)
    (one,) = (await two.a.reading.some(["t"])).values()
    assert_fields(one, views.TaskSummary, "rev")
    attempts = await two.a.reading.attempts("t")
    assert_fields(attempts[0], views.AttemptView)
    whole = shapes.task_in_full(view, attempts, [])
    assert_fields(whole, views.TaskView, "paused", "attempts", "callbacks")


async def test_what_keeps_a_task(two: Two) -> None:
    await two.retrying()
    two.rows.run("UPDATE grid_async_task_tasks SET next_run_at = created_at WHERE id = 't'")
    await two.a.pauses.pause("default", None, "a move")
    view = await two.a.reading.get("t")
    assert view is not None
    assert_fields(view["paused"], views.PausedView)
    assert_fields((await two.a.reading.pauses())[0], views.PauseView)


async def test_callbacks(two: Two) -> None:
    owes = task(fields={"callback": Callback(url="https://example.test/", type="http")})
    await end(two.a, await two.started(message=owes), Succeeded(1))
    (row,) = await two.a.outbox.all()
    assert_fields(row, views.CallbackRow)
    assert_fields(shapes.callback_object(row), views.CallbackView)
    assert_fields(shapes.callback_in_full(row), views.CallbackView, "body")


async def test_figures(two: Two) -> None:
    await two.retrying()
    figures = await read_figures(two.a)
    assert_fields(figures, views.Figures)
    assert_fields(NONE, views.Figures)
    assert_fields(figures["workers"][0], views.WorkerView)
    assert_fields(figures["tasks"][0], views.TypeCounts)


async def test_operations(two: Two) -> None:
    await two.retrying()
    operation = await two.a.operations.get(await two.a.operations.begin_with(OperationKind.CANCEL, ["t"], 0))
    assert operation is not None
    assert_fields(shapes.operation_object(operation), views.OperationView)
    assert_fields(shapes.operation_object(operation, {"open": 1}), views.OperationView, "done")


def test_queues() -> None:
    shown = shapes.queue_object(QueueInfo(queue="q", exists=True), BrokerSettings(url="memory://", queue="q"))
    assert_fields(shown, views.QueueView)


@pytest.fixture
async def fleet(tables_url: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    """With one dead letter, of a message that asked for a task."""
    own = {"broker": {"url": f"sqlite:///{tmp_path}/broker.db", "queue": QUEUE}, "store": {"url": tables_url}}
    settings = Settings.model_validate(own | {"handlers": {"default": {"command": ["true"]}}})
    broker = make_broker(settings.broker, Readiness())
    await broker.open()
    await broker.ensure_dead_letters()
    await broker.dead_letter(Message(body=b'{"task_id": "letter"}'), "not for us")
    await broker.close()
    async with reach(Where(settings), makes=True) as fleet:
        yield fleet


async def test_letters(fleet: Fleet) -> None:
    (listed_one,) = (await fleet.queue.letters(5)).found
    assert_fields(listed_one, views.LetterView, "task_status")
    (whole,) = await fleet.queue.letter("letter")
    assert_fields(whole, views.LetterInFull)


async def test_tasks_of_an_operation(two: Two, fleet: Fleet) -> None:
    await two.retrying()
    operation = await two.a.operations.begin_with(OperationKind.CANCEL, ["t"], 0)
    (steered,) = [one async for one in fleet.steering.results(operation)]
    assert_fields(steered, views.SteeredTask)
