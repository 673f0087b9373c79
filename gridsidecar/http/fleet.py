"""The fleet: its workers and queue, what is paused, callbacks that are owed."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from gridsidecar.http.access import Access
from gridsidecar.http.answer_cache import max_age_of
from gridsidecar.http.answers import answer
from gridsidecar.http.api import Api
from gridsidecar.http.app import Endpoint
from gridsidecar.http.call import Call, any_text, flag, number
from gridsidecar.http.problems import Problem, bad_request
from gridsidecar.operations.shapes import callback_in_full, callback_object, in_utc, iso, point_object, queue_object
from gridsidecar.rules.task import LONGEST_TYPE
from gridsidecar.store.minutes import KEPT
from gridsidecar.wire.moments import later_of, moment_of, span_of

if TYPE_CHECKING:
    from gridsidecar.views import CallbackView

MOST_STEPS = 2000  # of a series


async def workers(api: Api, call: Call) -> Response:
    call.only()
    store = await api.store()
    return answer({"workers": [in_utc(row) for row in await store.reading.workers()]})


async def stats(api: Api, call: Call) -> Response:
    """How many tasks are where. Without `since` the same answer is given for a few seconds."""
    call.only("since", "queue")
    since = call.one("since", partial(moment_of, now=api.clock.now()))
    return answer(await api.figures(since, call.one("queue", any_text)))


async def series(api: Api, call: Call) -> Response:
    """What ended over time, counted by the minute: by outcome, with percentiles of durations, in steps as large as
    asked, or larger where there would be too many."""
    call.only("since", "until", "step", "queue", "type")
    now = api.clock.now()
    until = min(call.one("until", partial(moment_of, now=now)) or now, now)
    since = max(call.one("since", partial(moment_of, now=now)) or until - timedelta(hours=1), now - KEPT)
    step = timedelta(seconds=call.one("step", partial(span_of, longest=86400.0)) or 60.0)
    step = timedelta(minutes=ceil(max(step, (until - since) / MOST_STEPS) / timedelta(minutes=1)))
    store = await api.store()
    queue, task_type = call.one("queue", any_text), call.one("type", any_text)

    async def read() -> list[Any]:
        points = await store.minutes.series(since, until, step, queue=queue, task_type=task_type)
        return [point_object(point) for point in points]

    points = await api.cache.get(call.asked, max_age_of(until - since), read)
    return answer({"step_s": step.total_seconds(), "points": points})


async def queues(api: Api, call: Call) -> Response:
    """The work queue with its delayed messages and dead letters."""
    call.only()
    return answer({"queues": [queue_object(await api.broker.info(anew=not call.polls), api.settings.broker)]})


# -- pauses -----------------------------------------------------------------------------------------------------------


async def pauses(api: Api, call: Call) -> Response:
    call.only()
    store = await api.store()
    return answer({"pauses": [in_utc(row) for row in await store.reading.pauses()]})


async def pause(api: Api, call: Call) -> Response:
    """Start no more tasks of a type: `{until, reason}`, both may be left out."""
    call.only()
    asked = await call.fields("until", "reason")
    task_type = _type(call)
    until = asked.text("until", partial(later_of, now=api.clock.now()))
    reason = asked.text("reason", any_text)
    store = await api.store()
    await store.pauses.pause(task_type, until, reason)
    return answer({"task_type": task_type, "until_at": iso(until), "reason": reason})


async def resume(api: Api, call: Call) -> Response:
    call.only()
    await call.fields()
    task_type = _type(call)
    store = await api.store()
    if not await store.pauses.resume(task_type):
        raise Problem(409, "not-paused", f"The type {task_type} is not paused.")
    return answer({"task_type": task_type})


def _type(call: Call) -> str:
    task_type = call.path("task_type")
    if len(task_type) > LONGEST_TYPE:
        raise bad_request(f"A task_type has 1 to {LONGEST_TYPE} characters.")
    return task_type


# -- callbacks --------------------------------------------------------------------------------------------------------


async def callbacks(api: Api, call: Call) -> Response:
    """Callbacks, newest first."""
    call.only("task_id", "dead", "owed", "limit")
    wanted: dict[str, Any] = {"task_id": call.one("task_id", any_text), "dead": call.one("dead", flag)}
    wanted["owed"] = call.one("owed", flag) or False
    store = await api.store()
    found = await store.outbox.all(**wanted, limit=call.one("limit", number(1, 200)) or 50)
    return answer({"callbacks": [api.hiding.object(callback_object(row)) for row in found]})


async def callback(api: Api, call: Call) -> Response:
    """The callbacks of a task, or one by its id, with what is sent."""
    call.only()
    store = await api.store()
    one = call.path("callback")
    found = await store.outbox.named(one)
    if not found:
        raise _unknown(one)
    return answer({"callbacks": [_shown(api, callback_in_full(row)) for row in found]})


def _shown(api: Api, whole: CallbackView) -> dict[str, Any]:
    return api.hiding.object(whole) | {"body": api.hiding.json_text(whole["body"])}


async def drop_callback(api: Api, call: Call) -> Response:
    """Remove what is owed or was given up of a task, or one callback by its id: nobody is told."""
    call.only()
    await call.fields()
    store = await api.store()
    one = call.path("callback")
    count = await store.outbox.drop(one)
    if not count:
        raise Problem(404, "unknown-callback", f"Nothing is owed or was given up of a task {one}, nor with this id.")
    return answer({"dropped": count})


async def drop_dead(api: Api, call: Call) -> Response:
    """Remove all callbacks that were given up."""
    call.only()
    await call.fields()
    store = await api.store()
    return answer({"dropped": await store.outbox.drop_dead()})


async def replay_callback(api: Api, call: Call) -> Response:
    """Send the callbacks of a task, or one by its id, again: a worker does it."""
    call.only()
    await call.fields()
    store = await api.store()
    one = call.path("callback")
    count = await store.outbox.replay(one)
    if not count:
        raise _unknown(one)
    return answer({"replayed": count}, 202)


def _unknown(one: str) -> Problem:
    return Problem(404, "unknown-callback", f"There is no callback of a task {one}, and none with this id.")


async def replay_dead(api: Api, call: Call) -> Response:
    """Send all callbacks again that were given up."""
    call.only()
    await call.fields()
    store = await api.store()
    return answer({"replayed": await store.outbox.replay_dead()}, 202)


ENDPOINTS = (
    Endpoint("GET", "/v1/stats", Access.READ, stats, polled=True),
    Endpoint("GET", "/v1/stats/series", Access.READ, series, polled=True),
    Endpoint("GET", "/v1/workers", Access.READ, workers, polled=True),
    Endpoint("GET", "/v1/queues", Access.READ, queues, polled=True),
    Endpoint("GET", "/v1/pauses", Access.READ, pauses, polled=True),
    Endpoint("POST", "/v1/types/{task_type}/pause", Access.CHANGE, pause),
    Endpoint("POST", "/v1/types/{task_type}/resume", Access.CHANGE, resume),
    Endpoint("GET", "/v1/callbacks", Access.READ, callbacks, polled=True),
    Endpoint("POST", "/v1/callbacks/replay", Access.CHANGE, replay_dead),
    Endpoint("POST", "/v1/callbacks/drop", Access.CHANGE, drop_dead),
    Endpoint("GET", "/v1/callbacks/{callback}", Access.READ, callback),
    Endpoint("POST", "/v1/callbacks/{callback}/replay", Access.CHANGE, replay_callback),
    Endpoint("POST", "/v1/callbacks/{callback}/drop", Access.CHANGE, drop_callback),
)
