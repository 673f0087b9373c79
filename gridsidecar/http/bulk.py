"""Cancel and retry many tasks: what a filter or ids name, as a stored operation that goes on whatever dies."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from starlette.responses import Response

from gridsidecar.http import cursor
from gridsidecar.http.access import Access
from gridsidecar.http.answers import answer
from gridsidecar.http.api import Api
from gridsidecar.http.app import Endpoint
from gridsidecar.http.call import Call, Members, a_status, any_text
from gridsidecar.http.problems import Problem, bad_request
from gridsidecar.language import counted
from gridsidecar.operations.shapes import operation_object
from gridsidecar.operations.steering import LONGEST_SPREAD, MEANT, POSSIBLE, RULES, possible
from gridsidecar.rules.steering import Steered
from gridsidecar.store import Filter, OperationKind
from gridsidecar.wire.moments import moment_of, span_of

MOST_LOOKED_AT = 500  # ids of a dry run
MOST_IDS = 100_000


async def _many(kind: OperationKind, api: Api, call: Call) -> Response:
    """`{filter, expected_count, dry_run, after, over}`; 409 where the filter names another number of tasks by now, a
    count of null is any. Or `{ids, dry_run, over}`."""
    call.only()
    over = ["over"] if kind is OperationKind.RETRY else []
    asked = await call.fields("filter", "ids", "expected_count", "dry_run", "after", *over)
    if "ids" in asked:
        return await _by_ids(kind, api, asked)
    filter_ = _filter(kind, api, asked.object("filter"))
    if asked.flag("dry_run"):
        return await _dry_run(kind, api, filter_, asked)
    any_number = asked.is_null("expected_count")
    expected = None if any_number else asked.whole("expected_count")
    spread = _spread(asked)
    if expected is None and not any_number:
        raise bad_request("expected_count is missing: a dry_run tells how many tasks there are.")
    operations = (await api.store()).operations
    count = await operations.count(filter_)
    if expected not in (None, count):
        detail = f"The filter names {counted(count)} by now, not {expected:,}."
        raise Problem(409, "count-changed", detail, count=count, expected_count=expected)
    driver = await api.driver(kind)
    operation = await operations.begin(kind, filter_, spread, expected)
    api.drive(operation, driver)
    return await _begun(api, operation)


async def _begun(api: Api, operation: str) -> Response:
    begun = await (await api.store()).operations.get(operation)
    assert begun is not None
    return answer(operation_object(begun), 202, headers={"Location": f"../operations/{operation}"})


def _spread(asked: Members) -> float:
    return asked.text("over", partial(span_of, longest=LONGEST_SPREAD)) or 0.0


async def _by_ids(kind: OperationKind, api: Api, asked: Members) -> Response:
    if "filter" in asked or "expected_count" in asked or "after" in asked:
        raise bad_request("ids and a filter with what belongs to it exclude each other.")
    ids, impossible = possible(dict.fromkeys(asked.texts("ids", str)))
    most = MOST_LOOKED_AT if asked.flag("dry_run") else MOST_IDS
    if len(ids) + len(impossible) > most:
        raise bad_request(f"At most {most:,} ids can be given at once.")
    store = await api.store()
    if asked.flag("dry_run"):
        outcomes = impossible | await store.steering.preview(ids, RULES[kind])
        return answer({"dry_run": True, "kind": kind, "count": len(outcomes), **_looked_at(outcomes), "next": None})
    if impossible:
        raise bad_request(f"No task can be called {next(iter(impossible))!r}.")
    spread, driver = _spread(asked), await api.driver(kind)
    operation = await store.operations.begin_with(kind, ids, spread)
    api.drive(operation, driver)
    return await _begun(api, operation)


async def _dry_run(kind: OperationKind, api: Api, filter_: Filter, asked: Members) -> Response:
    """How many tasks of which type are in which state; and what would come of the first, or of those after a cursor."""
    store = await api.store()
    ids, position = await store.operations.page(filter_, asked.text("after", cursor.decoded_position))
    outcomes = await store.steering.preview(ids, RULES[kind])
    types = await store.operations.by_type(filter_)
    return answer(
        {
            "dry_run": True,
            "kind": kind,
            "count": sum(count for _, _, count in types),
            "filter": filter_.to_dict(),
            "tasks": [{"task_type": one, "status": status, "count": count} for one, status, count in types],
            **_looked_at({task_id: outcomes[task_id] for task_id in ids}),
            "next": cursor.encoded_position(position),
        }
    )


def _looked_at(outcomes: dict[str, Steered]) -> dict[str, Any]:
    return {
        "outcomes": Counter(outcomes.values()),
        "results": [{"task_id": task_id, "outcome": outcome} for task_id, outcome in outcomes.items()],
    }


def _filter(kind: OperationKind, api: Api, given: Members | None) -> Filter:
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


ENDPOINTS = (
    Endpoint("POST", "/v1/tasks/cancel", Access.CHANGE, partial(_many, OperationKind.CANCEL)),
    Endpoint("POST", "/v1/tasks/retry", Access.CHANGE, partial(_many, OperationKind.RETRY)),
)
