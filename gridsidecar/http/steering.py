"""Cancel and retry: one task, or all that a filter names as a stored operation that goes on whatever dies."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import Response

from gridsidecar.http.access import Access
from gridsidecar.http.answers import answer
from gridsidecar.http.api import Api
from gridsidecar.http.app import Endpoint
from gridsidecar.http.call import Call, Members, a_status, any_text, number
from gridsidecar.http.problems import Problem, bad_request, unknown_task
from gridsidecar.moments import moment_of, span_of
from gridsidecar.operations import LONGEST_SPREAD, MEANT, POSSIBLE
from gridsidecar.shapes import operation_object
from gridsidecar.steering import Steered
from gridsidecar.store import Filter, Kind

TASKS_SHOWN = 200


async def _one(kind: Kind, api: Api, call: Call) -> Response:
    call.only()
    await call.fields()
    task_id = call.path("task_id")
    driver = await api.driver(kind)
    outcome = (await driver.steer(kind, [task_id]))[task_id]
    if outcome.done:
        return answer({"task_id": task_id, "outcome": outcome}, 202)
    raise problem_of(outcome, task_id, kind)


def problem_of(outcome: Steered, task_id: str, kind: Kind) -> Problem:
    """Why a task was left alone."""
    if outcome is Steered.NOT_FOUND:
        return unknown_task(task_id)
    state = outcome.value.partition(":")[2] or None
    detail = {
        Steered.NOT_SEEN: "It was cancelled before its message came; it can run again when that is here.",
        Steered.NO_MESSAGE: "Its row does not hold its message; submit it again.",
        Steered.REFUSED_MESSAGE: "Its message was refused; POST /v1/dead/replay sends its dead letter again.",
        Steered.UNREACHABLE: "An earlier system runs it and cannot be told; it is noted, should its message come back.",
        Steered.NOT_STORABLE: "The database refuses the change.",
    }.get(outcome, f"Task {task_id} is {state}: there is nothing to {kind}.")
    return Problem(409, outcome.value.partition(":")[0].replace("_", "-"), detail, state=state, allowed=POSSIBLE[kind])


async def _many(kind: Kind, api: Api, call: Call) -> Response:
    """`{filter, expected_count, dry_run, over}`; 409 where the filter names another number of tasks by now."""
    call.only()
    asked = await call.fields("filter", "expected_count", "dry_run", *(["over"] if kind is Kind.RETRY else []))
    filter_ = _filter(kind, api, asked.object("filter"))
    expected, dry_run = asked.whole("expected_count"), asked.flag("dry_run")
    spread = asked.text("over", partial(span_of, longest=LONGEST_SPREAD)) or 0.0
    if expected is None and not dry_run:
        raise bad_request("expected_count is missing: a dry_run tells how many tasks there are.")
    operations = (await api.store()).operations
    count = await operations.count(filter_)
    if dry_run:
        return answer({"dry_run": True, "kind": kind, "count": count, "filter": filter_.to_dict()})
    if count != expected:
        detail = f"The filter names {count:,} tasks by now, not {expected:,}."
        raise Problem(409, "count-changed", detail, count=count, expected_count=expected)
    driver = await api.driver(kind)
    operation = await operations.begin(kind, filter_, spread, expected)
    begun = await operations.get(operation)
    assert begun is not None
    api.drive(operation, driver)
    return answer(operation_object(begun), 202, headers={"Location": f"../operations/{operation}"})


def _filter(kind: Kind, api: Api, given: Members | None) -> Filter:
    """What a filter must say is at least one thing: an empty one would mean all tasks by a slip."""
    if given is None:
        raise bad_request('filter is missing, such as {"type": "resize"}; {"all": true} names all tasks.')
    given.only(("all", "status", "type", "error_type", "since", "until"))
    everything = given.flag("all")
    if everything == any(name in given for name in ("status", "type", "error_type", "since", "until")):
        raise bad_request("The filter must say something, or all: true and nothing else.")
    statuses = given.texts("status", a_status) or MEANT[kind]
    if impossible := [status for status in statuses if status not in POSSIBLE[kind]]:
        raise bad_request(f"A {impossible[0]} task cannot be meant; there are {', '.join(POSSIBLE[kind])}.")
    now = api.clock.now()
    return Filter(
        statuses=tuple(dict.fromkeys(statuses)),
        queue=api.settings.broker.queue,
        task_type=given.text("type", any_text),
        error_type=given.text("error_type", any_text),
        since=given.text("since", partial(moment_of, now=now)),
        until=given.text("until", partial(moment_of, now=now)),
    )


# -- operations -------------------------------------------------------------------------------------------------------


async def operations(api: Api, call: Call) -> Response:
    call.only("limit")
    store = await api.store()
    found = await store.operations.newest(call.one("limit", number(1, 200)) or 20)
    return answer({"operations": [operation_object(one) for one in found]})


async def operation(api: Api, call: Call) -> Response:
    """How far an operation is, with what came of its tasks from position `after` on."""
    call.only("after", "limit")
    store = await api.store()
    known = await store.operations.get(call.path("operation"))
    if known is None:
        raise _unknown_operation(call)
    after = call.one("after", number(0, 2**62))
    limit = call.one("limit", number(0, TASKS_SHOWN))
    limit = TASKS_SHOWN if limit is None else limit
    tasks = await store.operations.tasks(known.id, -1 if after is None else after, limit)
    counts = await store.operations.outcomes(known.id)
    more: dict[str, Any] = {
        "outcomes": counts,
        "results": tasks,
        "next": tasks[-1]["position"] if len(tasks) == limit > 0 else None,
    }
    return answer(operation_object(known, counts) | more)


async def stop(api: Api, call: Call) -> Response:
    """End an operation: the tasks that are left stay as they are."""
    call.only()
    await call.fields()
    store = await api.store()
    known = await store.operations.get(call.path("operation"))
    if known is None:
        raise _unknown_operation(call)
    if not await store.operations.stop(known.id):
        raise Problem(409, "wrong-state", "This operation has ended.", state="ended")
    return answer({"operation": known.id, "state": "ended"})


def _unknown_operation(call: Call) -> Problem:
    return Problem(
        404, "unknown-operation", f"There is no operation {call.path('operation')}; they are kept for a week."
    )


ENDPOINTS = (
    Endpoint("POST", "/v1/tasks/cancel", Access.CHANGE, partial(_many, Kind.CANCEL)),
    Endpoint("POST", "/v1/tasks/retry", Access.CHANGE, partial(_many, Kind.RETRY)),
    Endpoint("POST", "/v1/tasks/{task_id}/cancel", Access.CHANGE, partial(_one, Kind.CANCEL)),
    Endpoint("POST", "/v1/tasks/{task_id}/retry", Access.CHANGE, partial(_one, Kind.RETRY)),
    Endpoint("GET", "/v1/operations", Access.READ, operations, polled=True),
    Endpoint("GET", "/v1/operations/{operation}", Access.READ, operation, polled=True),
    Endpoint("POST", "/v1/operations/{operation}/stop", Access.CHANGE, stop),
)
