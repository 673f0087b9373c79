"""Cancel and retry one task; how far those of many are."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import Response

from gridsidecar.http.access import Access
from gridsidecar.http.answers import answer
from gridsidecar.http.api import Api
from gridsidecar.http.app import Endpoint
from gridsidecar.http.call import Call, number
from gridsidecar.http.problems import Problem, unknown_task
from gridsidecar.operations.shapes import operation_object
from gridsidecar.operations.steering import POSSIBLE
from gridsidecar.rules.steering import Steered
from gridsidecar.store import OperationKind

TASKS_SHOWN = 200


async def _one(kind: OperationKind, api: Api, call: Call) -> Response:
    call.only()
    await call.fields()
    task_id = call.path("task_id")
    driver = await api.driver(kind)
    outcome = (await driver.steer(kind, [task_id]))[task_id]
    if outcome.done:
        return answer({"task_id": task_id, "outcome": outcome}, 202)
    raise problem_of(outcome, task_id, kind)


def problem_of(outcome: Steered, task_id: str, kind: OperationKind) -> Problem:
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
        "results": [{"position": one.position, "task_id": one.task_id, "outcome": one.outcome} for one in tasks],
        "next": tasks[-1].position if len(tasks) == limit > 0 else None,
    }
    return answer({**operation_object(known, counts), **more})


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
    Endpoint("POST", "/v1/tasks/{task_id}/cancel", Access.CHANGE, partial(_one, OperationKind.CANCEL)),
    Endpoint("POST", "/v1/tasks/{task_id}/retry", Access.CHANGE, partial(_one, OperationKind.RETRY)),
    Endpoint("GET", "/v1/operations", Access.READ, operations, polled=True),
    Endpoint("GET", "/v1/operations/{operation}", Access.READ, operation, polled=True),
    Endpoint("POST", "/v1/operations/{operation}/stop", Access.CHANGE, stop),
)
