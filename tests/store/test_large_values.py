"""Large values, which nobody decodes, come out of the database as they went in."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
from msgspec.structs import replace

from gridsidecar.rules.reception import Insert
from gridsidecar.rules.task import Message, Succeeded, Task
from gridsidecar.wire import JsonText, read_large
from tests.store.direct import TASKS
from tests.store.test_values import TRICKY, seen
from tests.store.workers import A, Two, end

VALUE = [*TRICKY, *TRICKY, {"n": [1.5] * 30_000}]
LIMIT = 33_554_432


def large_task(task_id: str, packed: bool = False) -> Task:
    fields = {"task_id": task_id, "data": VALUE, "callback_url": "http://x.test/", "callback_data": VALUE}
    body = json.dumps(fields, ensure_ascii=False).encode()
    message = Message(body=gzip.compress(body), content_encoding="gzip") if packed else Message(body=body)
    task = read_large(message, LIMIT, 2**40)
    assert isinstance(task, Task)
    assert isinstance(task.data, JsonText)
    assert isinstance(task.callback.data, JsonText)
    return task


@pytest.mark.parametrize("packed", [False, True])
async def test_data_and_callback_come_out_as_they_went_in(two: Two, packed: bool) -> None:
    task = large_task("t", packed)
    received = await two.a.tasks.claim(task, A, 3)
    assert received.reception == Insert()
    assert received.claim is not None
    row = await seen(two)
    assert row["data"] == row["callback_data"] == VALUE
    await end(two.a, received.claim, Succeeded({"ok": True}))
    (owed,) = two.rows.run(f"SELECT * FROM {TASKS}_callbacks")
    assert json.loads(owed["body"])["callback_data"] == VALUE


async def test_several_at_once_do_not_change_places(two: Two) -> None:
    tasks = [large_task(f"t{number}") for number in range(4)]
    tasks = [replace(task, data=task.callback.data if number % 2 else task.data) for number, task in enumerate(tasks)]
    await asyncio.gather(*(two.a.tasks.claim(task, A, 3) for task in tasks))
    assert [(await seen(two, task.task_id))["data"] for task in tasks] == [VALUE] * 4
    assert [(await seen(two, task.task_id))["task_id"] for task in tasks] == [task.task_id for task in tasks]
