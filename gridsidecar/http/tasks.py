"""Tasks: list, show, what they say, submit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from gridsidecar import wire
from gridsidecar.config.handled_types import hint_of
from gridsidecar.errors import GridSidecarError
from gridsidecar.http import cursor
from gridsidecar.http.access import Access
from gridsidecar.http.answers import answer
from gridsidecar.http.api import Api
from gridsidecar.http.app import Endpoint
from gridsidecar.http.call import Call, a_status, any_text, flag, number, parsed
from gridsidecar.http.output_pages import output_page
from gridsidecar.http.problems import Problem, bad_request, unavailable, unknown_task
from gridsidecar.language import counted
from gridsidecar.operations.shapes import in_utc, task_in_full, task_object
from gridsidecar.operations.submitting import Known
from gridsidecar.rules.task import Message, Status, Task
from gridsidecar.store import Position, Wanted
from gridsidecar.store.listing import MOST, MOST_WITH_DATA
from gridsidecar.views import cancelled_unrun
from gridsidecar.wire.moments import moment_of
from gridsidecar.wire.new_task import BadTask, make_task

CALLBACKS_SHOWN = 50
PAGE = ("cursor", "after", "limit", "data")
TRIES = 3  # while a task of the same id is deleted in between


async def list_tasks(api: Api, call: Call) -> Response:
    """Tasks, newest first, with their data only where it is asked for; `next` is the cursor of what follows. A page may
    have few tasks, or none, and still go on."""
    call.only("status", "type", "error_type", "queue", "since", "until", "id_prefix", *PAGE)
    moment = partial(moment_of, now=api.clock.now())
    try:
        wanted = Wanted(
            statuses=tuple(dict.fromkeys(call.many("status", a_status))),
            task_types=tuple(dict.fromkeys(call.many("type", any_text))),
            error_type=call.one("error_type", any_text),
            queue=call.one("queue", any_text),
            since=call.one("since", moment),
            until=call.one("until", moment),
            id_prefix=call.one("id_prefix", any_text) or "",
        )
    except ValueError as error:
        raise bad_request(f"{error}.") from None
    limit = call.one("limit", number(1, MOST)) or 50
    with_data = call.one("data", flag) or False
    limit = min(limit, MOST_WITH_DATA) if with_data else limit
    store = await api.store()
    page = await store.listing.page(wanted, await _position(api, call), limit)
    tasks = await store.reading.detailed(await store.reading.with_pauses(page.tasks), with_data=with_data)
    return answer(
        {
            "tasks": [api.hiding.object(task_object(task)) for task in tasks],
            "next": cursor.encoded(page.next),
            "next_after": page.next and page.next.id,
        }
    )


async def _position(api: Api, call: Call) -> Position | None:
    """Where a page begins: behind a cursor, or where there is none behind a task by its id."""
    position, after = call.one("cursor", cursor.decoded), call.one("after", any_text)
    if position is not None or after is None:
        return position
    position = await (await api.store()).listing.position_of(after)
    if position is None:
        raise unknown_task(after)
    return position


async def show(api: Api, call: Call) -> Response:
    """One task with its data, result and error, its attempts and callbacks."""
    call.only()
    store = await api.store()
    task_id = call.path("task_id")
    view = await store.reading.get(task_id)
    if view is None:
        raise unknown_task(task_id)
    callbacks = await store.outbox.all(task_id=task_id, limit=CALLBACKS_SHOWN)
    return answer(api.hiding.object(task_in_full(view, await store.reading.attempts(task_id), callbacks)))


async def attempts(api: Api, call: Call) -> Response:
    call.only()
    store = await api.store()
    task_id = call.path("task_id")
    found = await store.reading.attempts(task_id)
    if not found and await store.output.newest(task_id) is None:
        raise unknown_task(task_id)
    return answer({"attempts": [api.hiding.object(in_utc(row)) for row in found]})


async def logs(api: Api, call: Call) -> Response:
    """What an attempt (the newest, if none is named) has said from byte `since` on; `next` is where more follows."""
    call.only("attempt", "since")
    store = await api.store()
    task_id = call.path("task_id")
    attempt = call.one("attempt", number(1, 2**31))
    since = call.one("since", number(0, 2**62)) or 0
    page = await output_page(store.output, api.hiding, task_id, attempt, since)
    if page is None:
        newest = await store.output.newest(task_id)
        if newest is None:
            raise unknown_task(task_id)
        raise Problem(
            404, "unknown-attempt", f"Task {task_id} has {counted(newest[1], 'attempt')} so far.", state=newest[0]
        )
    return answer(
        in_utc(
            {
                "task_id": page.task_id,
                "attempt": page.attempt,
                "running": page.running,
                "outcome": page.outcome,
                "started_at": page.started_at,
                "ended_at": page.ended_at,
                "worker": page.worker,
                "worker_id": page.worker_id,
                "pieces": [{"text": piece.text, "left_out": piece.left_out} for piece in page.pieces],
                "next": page.next,
                "stderr_tail": page.stderr_tail and api.hiding.text(page.stderr_tail),
                "notes": page.notes and api.hiding.text(page.notes),
                "status": page.status,
                "latest_attempt": page.latest,
            }
        )
    )


async def submit(api: Api, call: Call) -> Response:
    """Put a task on the queue. Its `task_id` is the idempotency key: the same message once more is answered with the
    task, another one under the same id is refused."""
    call.only()
    fields = parsed(await call.body())
    if not isinstance(fields, dict):
        raise bad_request("A task message is a JSON object.")
    try:
        task = make_task(fields, api.settings.broker.max_message_bytes, api.settings.worker.memory_room)
    except BadTask as bad:
        raise Problem(422, "bad-task", str(bad)) from None
    try:
        submitter = await api.submitter()
    except GridSidecarError:  # what is there already needs no broker
        if (known := await _known(api, task)) is not None:
            return known
        raise
    for _ in range(TRIES):
        if not isinstance(await submitter.submit(task), Known):
            break
        if (known := await _known(api, task)) is not None:
            return known
    else:
        raise unavailable(f"A task {task.task_id} comes and goes; nothing was sent.")
    hint = hint_of(api.settings, task.task_type)
    sent = {"task_id": task.task_id, "task_type": task.task_type, "status": Status.PENDING, "progress": 0}
    location = f"tasks/{quote(task.task_id, safe='')}"
    return answer(sent if hint is None else sent | {"hint": hint}, 202, headers={"Location": location})


async def _known(api: Api, task: Task) -> Response | None:
    """The task that has this one's id already."""
    store = await api.store()
    known = await store.reading.get(task.task_id)
    if known is None:
        return None
    message = await store.reading.message(task.task_id)
    if not same_task(message, task.fields, api.settings.broker.max_message_bytes):
        detail = f"There is a task {task.task_id} already, made of another message."
        if message is None and known["queue"] is not None and cancelled_unrun(known):
            detail = f"Task {task.task_id} was cancelled before it came: send it under another id to run it."
        raise Problem(409, "task-exists", detail, state=known["status"])
    return answer(api.hiding.object(task_object(known)))


def same_task(message: Message | None, fields: Mapping[str, Any], max_bytes: int) -> bool:
    """Whether a stored message says the same as these fields."""
    if message is None:
        return False
    known = wire.decode_task(message, max_bytes)
    return not isinstance(known, wire.Refused) and _canonical(known.fields) == _canonical(fields)


def _canonical(fields: Mapping[str, Any]) -> str:
    """1, 1.0 and true are equal in Python, and not what their sender means."""
    return json.dumps(fields, sort_keys=True)


ENDPOINTS = (
    Endpoint("GET", "/v1/tasks", Access.READ, list_tasks, polled=True),
    Endpoint("POST", "/v1/tasks", Access.CHANGE, submit),
    Endpoint("GET", "/v1/tasks/{task_id}", Access.READ, show, polled=True),
    Endpoint("GET", "/v1/tasks/{task_id}/attempts", Access.READ, attempts),
    Endpoint("GET", "/v1/tasks/{task_id}/logs", Access.READ, logs, polled=True),
)
