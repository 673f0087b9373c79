"""Cancel and retry over HTTP: one task in each state, and many by a filter as a stored operation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gridsidecar import __version__
from gridsidecar.operations.steering import Driver
from gridsidecar.rules.task import Status, Succeeded
from gridsidecar.store import Filter, NotDriven, OperationKind
from tests.http.conftest import Serve, Served, problem
from tests.store.workers import BOOM, Two, cancel, end, task


async def failed(two: Two, *ids: str) -> None:
    for task_id in ids:
        claim = await two.started(retries=0, message=task(task_id, fields={"task_type": "mail"}))
        await end(two.a, claim, BOOM)


async def test_cancel_what_waits_what_runs_and_what_nobody_knows(api: Served, two: Two) -> None:
    await two.retrying()
    await two.started(message=task("r"))
    for task_id, outcome in (("t", "cancelled"), ("r", "asked"), ("later", "noted")):
        answer = await api.post(f"/v1/tasks/{task_id}/cancel")
        assert (answer.status_code, answer.json()) == (202, {"task_id": task_id, "outcome": outcome})
    again = await api.post("/v1/tasks/t/cancel")
    assert problem(again) == (409, "wrong-state")
    assert (again.json()["state"], again.json()["allowed"]) == ("cancelled", ["pending", "retrying", "running"])


async def test_retry_what_failed(api: Served, two: Two) -> None:
    await failed(two, "t")
    answer = await api.post("/v1/tasks/t/retry", {})
    assert (answer.status_code, answer.json()["outcome"]) == (202, "retried")
    (queue,) = (await api.found("/v1/queues"))["queues"]
    assert queue["ready"] == 1
    assert (await api.found("/v1/tasks/t"))["status"] == "pending"


async def test_retry_what_cannot_be(api: Served, two: Two) -> None:
    await end(two.a, await two.started(), Succeeded(result=None))
    refused = await api.post("/v1/tasks/t/retry")
    assert problem(refused) == (409, "wrong-state")
    assert (refused.json()["state"], refused.json()["allowed"]) == ("success", ["failed", "cancelled"])
    assert problem(await api.post("/v1/tasks/nobody/retry")) == (404, "unknown-task")
    await cancel(two.a, "unseen")
    assert problem(await api.post("/v1/tasks/unseen/retry")) == (409, "not-seen")


# -- many -------------------------------------------------------------------------------------------------------------


async def test_a_dry_run_then_the_operation(api: Served, two: Two) -> None:
    await failed(two, *(f"t{number}" for number in range(7)))
    asked: dict[str, Any] = {"filter": {"type": "mail", "status": "failed"}}
    found = await api.post("/v1/tasks/retry", asked | {"dry_run": True})
    assert (found.status_code, found.json()["count"]) == (200, 7)
    changed = await api.post("/v1/tasks/retry", asked | {"expected_count": 6})
    assert problem(changed) == (409, "count-changed")
    assert changed.json()["count"] == 7
    begun = await api.post("/v1/tasks/retry", asked | {"expected_count": 7})
    assert begun.status_code == 202
    operation = begun.json()["operation"]
    assert begun.headers["location"] == f"../operations/{operation}"

    async def ended() -> bool:
        return (await api.found(f"/v1/operations/{operation}"))["state"] == "ended"

    while not await ended():
        pass
    told = await api.found(f"/v1/operations/{operation}", limit=3)
    assert (told["outcomes"], told["tasks"], len(told["results"])) == ({"retried": 7}, 7, 3)
    rest = await api.found(f"/v1/operations/{operation}", after=told["next"])
    assert {one["task_id"] for one in told["results"] + rest["results"]} == {f"t{number}" for number in range(7)}
    assert [one["operation"] for one in (await api.found("/v1/operations"))["operations"]] == [operation]
    assert problem(await api.post(f"/v1/operations/{operation}/stop")) == (409, "wrong-state")


async def test_more_tasks_than_expected_are_left_alone(two: Two) -> None:
    await failed(two, "a", "b")
    operation = await two.a.operations.begin(
        OperationKind.RETRY, Filter(statuses=(Status.FAILED,), queue="q"), expected=2
    )
    await failed(two, "c")  # before it is known which tasks it is about
    with pytest.raises(NotDriven, match="found 3 tasks"):
        async for _ in Driver(two.a, None).drive(operation):
            pass
    known = await two.a.operations.get(operation)
    assert known is not None
    assert (known.state, await two.a.operations.outcomes(operation)) == ("count_changed", {"open": 3})
    assert two.rows.run("SELECT COUNT(*) AS n FROM grid_async_task_tasks WHERE status = 'failed'")[0]["n"] == 3


async def test_a_server_goes_on_with_what_another_one_left(serve: Serve, two: Two) -> None:
    await failed(two, *(f"t{number}" for number in range(3)))
    operation = await two.b.operations.begin(OperationKind.RETRY, Filter(statuses=(Status.FAILED,), queue="q"))
    await two.b.operations.leave(operation)
    async with serve() as api:
        while (told := await api.found(f"/v1/operations/{operation}"))["state"] != "ended":
            await asyncio.sleep(0.1)
        assert told["outcomes"] == {"retried": 3}


async def test_an_operation_is_stopped(api: Served, two: Two) -> None:
    await failed(two, "t")
    operation = await two.b.operations.begin(OperationKind.RETRY, Filter(statuses=(Status.FAILED,), queue="q"))
    assert (await api.found(f"/v1/operations/{operation}"))["state"] == "running"
    assert (await api.post(f"/v1/operations/{operation}/stop")).json()["state"] == "ended"
    assert (await api.found(f"/v1/operations/{operation}"))["state"] == "ended"
    assert problem(await api.post("/v1/operations/op_ä/stop")) == (404, "unknown-operation")


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("cancel", None, "filter is missing"),
        ("cancel", {"filter": {}, "expected_count": 0}, "must say something"),
        ("cancel", {"filter": {"type": None}, "expected_count": 0}, "must be text"),
        ("cancel", {"filter": {"all": False}, "expected_count": 0}, "must say something"),
        ("cancel", {"filter": {"all": True, "type": "x"}, "expected_count": 0}, "all: true and nothing else"),
        ("cancel", {"filter": {"typ": "x"}, "expected_count": 0}, 'no "typ"'),
        ("cancel", {"filter": {"type": ""}, "expected_count": 0}, "1 - 255"),
        ("cancel", {"filter": {"type": 5}, "expected_count": 0}, "must be text"),
        ("cancel", {"filter": {"status": "success"}, "expected_count": 0}, "success task cannot be meant"),
        ("cancel", {"filter": {"status": ["nope"]}, "expected_count": 0}, "must be one of"),
        ("cancel", {"filter": {"since": "soon"}, "expected_count": 0}, "is no time"),
        ("cancel", {"filter": {"type": "x"}}, "expected_count is missing"),
        ("cancel", {"filter": {"type": "x"}, "expected_count": -1}, "whole number"),
        ("cancel", {"filter": {"type": "x"}, "expected_count": 1.5}, "whole number"),
        ("cancel", {"filter": {"type": "x"}, "expected_count": 0, "over": "10m"}, 'no "over"'),
        ("retry", {"filter": {"type": "x"}, "expected_count": 0, "over": "-1"}, "is no duration"),
        ("retry", {"filter": {"type": "x"}, "dry_run": "yes"}, "true or false"),
        ("retry", [1], "must be a JSON object"),
    ],
)
async def test_what_no_filter_means(api: Served, kind: str, body: Any, words: str) -> None:
    refused = await api.post(f"/v1/tasks/{kind}", body)
    assert problem(refused) == (400, "bad-request")
    assert words in refused.json()["detail"]


# -- pauses and callbacks ---------------------------------------------------------------------------------------------


async def test_pause_and_resume(api: Served) -> None:
    paused = await api.post("/v1/types/a%2Fb/pause", {"until": "2h", "reason": "the provider is down"})
    assert paused.status_code == 200
    (pause,) = (await api.found("/v1/pauses"))["pauses"]
    assert (pause["task_type"], pause["reason"], pause["parked"]) == ("a/b", "the provider is down", 0)
    assert (await api.post("/v1/types/a%2Fb/resume")).json() == {"task_type": "a/b"}
    assert problem(await api.post("/v1/types/other/resume")) == (409, "not-paused")
    assert problem(await api.post("/v1/types/x/pause", {"until": "2020-01-01"})) == (400, "bad-request")
    assert problem(await api.post(f"/v1/types/{'x' * 101}/pause")) == (400, "bad-request")


async def test_callbacks_that_were_given_up(api: Served, two: Two) -> None:
    assert problem(await api.post("/v1/callbacks/nobody/replay")) == (404, "unknown-callback")
    assert (await api.post("/v1/callbacks/replay")).json() == {"replayed": 0}
    assert (await api.found("/v1/callbacks", dead="true")) == {"callbacks": []}


async def test_workers(api: Served, two: Two) -> None:
    await two.started()
    workers = (await api.found("/v1/workers"))["workers"]
    assert {one["name"]: (one["alive"], one["running"]) for one in workers} == {"one": (True, 1), "two": (True, 0)}
    assert {(one["version"], one["concurrency"]) for one in workers} == {(__version__, 1)}


async def test_those_that_live_come_first_and_one_that_left_runs_nothing_any_more(api: Served, two: Two) -> None:
    await two.a.leases.leave("A")
    await two.a.leases.renew("lost", "lost", 60, concurrency=4)
    two.rows.expire("lost")
    await two.a.leases.renew("C", "three", 60, concurrency=4)
    workers = (await api.found("/v1/workers"))["workers"]
    told = {one["name"]: (one["alive"], one["concurrency"]) for one in workers}
    assert told == {"two": (True, 1), "three": (True, 4), "one": (False, 0), "lost": (False, 4)}
    assert [one["alive"] for one in workers] == [True, True, False, False]


async def test_a_dry_run_says_what_is_there_and_what_would_come_of_it(api: Served, two: Two) -> None:
    await failed(two, "a", "b")
    await cancel(two.a, "unseen")
    told = (await api.post("/v1/tasks/retry", {"filter": {"status": ["failed", "cancelled"]}, "dry_run": True})).json()
    assert told["tasks"] == [
        {"task_type": "mail", "status": "failed", "count": 2},
        {"task_type": "default", "status": "cancelled", "count": 1},
    ]
    assert (told["count"], told["outcomes"], told["next"] is not None) == (3, {"retried": 2}, True)
    rest = {"filter": {"status": ["failed", "cancelled"]}, "dry_run": True, "after": told["next"]}
    told = (await api.post("/v1/tasks/retry", rest)).json()
    assert told["results"] == [{"task_id": "unseen", "outcome": "not_seen"}]
    ids = {"ids": ["a", "nobody"], "dry_run": True}
    assert (await api.post("/v1/tasks/retry", ids)).json()["outcomes"] == {"retried": 1, "not_found": 1}
    assert (await api.found("/v1/operations"))["operations"] == []


async def test_an_operation_whose_tasks_are_still_to_start(api: Served, two: Two) -> None:
    await failed(two, "a", "b")
    asked = {"filter": {"type": "mail"}, "expected_count": 2, "over": "1h"}
    operation = (await api.post("/v1/tasks/retry", asked)).json()["operation"]
    while (told := await api.found(f"/v1/operations/{operation}"))["done"] < 2 or told["ended_at"] is None:
        await asyncio.sleep(0.05)
    assert told["state"] == "starting"
    assert told["starts_until_at"] > told["created_at"]
    two.rows.run("UPDATE grid_async_task_tasks_operations SET spread = 0")
    assert (await api.found(f"/v1/operations/{operation}"))["state"] == "ended"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"ids": []}, "at least one"),
        ({"ids": ["a"], "filter": {"all": True}}, "exclude each other"),
        ({"ids": ["a"] * 3 + ["x" * 300]}, "No task can be called"),
        ({"ids": [f"t{number}" for number in range(501)], "dry_run": True}, "At most 500 ids"),
        ({"filter": {"all": True}, "dry_run": True, "after": "rubbish"}, "no cursor"),
    ],
)
async def test_what_no_ids_mean(api: Served, body: Any, words: str) -> None:
    refused = await api.post("/v1/tasks/cancel", body)
    assert problem(refused) == (400, "bad-request")
    assert words in refused.json()["detail"]


async def test_as_many_as_there_are(api: Served, two: Two) -> None:
    await failed(two, "a")
    begun = await api.post("/v1/tasks/retry", {"filter": {"type": "mail"}, "expected_count": None})
    assert begun.status_code == 202
