"""Many ends in one flush: each keeps its own result, its own fence and its own answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import Claim, Outcome, Status, Succeeded, Transition
from gridsidecar.store.mysql.literal import WRITERS
from gridsidecar.store.mysql.merging import merge
from gridsidecar.store.queries import TableNames, load_queries
from tests.store.workers import BOOM, A, B, Two, cancel, end, task

IDS = [f"t{number}" for number in range(20)]
ODD = ["it's", 'say "x"', "back\\slash", "100 %s", "snow ☃ 雪", ":id", "CASE id WHEN 't1' THEN 2 END", ""]


async def claims(two: Two, ids: Sequence[str] = IDS) -> list[Claim]:
    received = await asyncio.gather(*(two.a.tasks.claim(task(task_id), A, 3) for task_id in ids))
    found = [each.claim for each in received if each.claim is not None]
    assert len(found) == len(ids)
    return found


async def ends(two: Two, ended: Sequence[tuple[Claim, Outcome]]) -> list[Transition | None]:
    """All committed in one turn of the loop, so that they leave together."""
    return list(await asyncio.gather(*(end(two.a, claim, outcome) for claim, outcome in ended)))


async def test_each_keeps_its_own_result(two: Two) -> None:
    results: list[Any] = [*ODD, None, 0, 1.5, True, {"x": [ODD]}, [1]]
    held = await claims(two, IDS[: len(results)])
    await ends(two, [(claim, Succeeded(result)) for claim, result in zip(held, results, strict=True)])
    for claim, result in zip(held, results, strict=True):
        row = two.rows.row(claim.task_id)
        assert (row["status"], json.loads(row["result"]), row["progress"]) == ("success", result, 100)
        assert two.rows.history(claim.task_id) == [(1, "success")]


async def test_those_that_were_taken_are_told_from_the_others(two: Two) -> None:
    held = await claims(two)
    two.rows.expire("A")
    taken = IDS[3:7]
    for task_id in taken:
        received = await two.b.tasks.claim(task(task_id, attempt=1, message_id="delayed"), B, 3)
        assert received.claim is not None
    written = await ends(two, [(claim, Succeeded(claim.task_id)) for claim in held])
    for claim, transition in zip(held, written, strict=True):
        row = two.rows.row(claim.task_id)
        if claim.task_id in taken:
            assert transition is None
            assert (row["status"], row["attempt"], row["worker_id"], row["result"]) == ("running", 2, "B", None)
        else:
            assert transition is not None
            assert (row["status"], row["result"]) == ("success", f'"{claim.task_id}"')


async def test_successes_and_failures_may_leave_together(two: Two) -> None:
    held = await claims(two)
    outcomes: list[Outcome] = [Succeeded(number) if number % 3 else BOOM for number in range(len(held))]
    await ends(two, list(zip(held, outcomes, strict=True)))
    for number, claim in enumerate(held):
        row = two.rows.row(claim.task_id)
        assert row["status"] == ("success" if number % 3 else "retrying")
        assert row["result"] == (str(number) if number % 3 else None)


async def test_a_request_to_cancel_is_heard_by_its_own_task_alone(two: Two) -> None:
    held = await claims(two)
    for task_id in IDS[:2]:
        assert await cancel(two.b, task_id) is Steered.ASKED
    written = await ends(two, [(claim, BOOM) for claim in held])
    assert [transition and transition.status for transition in written] == [Status.CANCELLED] * 2 + [
        Status.RETRYING
    ] * (len(held) - 2)
    assert [two.rows.row(task_id)["status"] for task_id in IDS[:4]] == [
        "cancelled",
        "cancelled",
        "retrying",
        "retrying",
    ]


async def test_a_repeated_end_is_known_as_written(two: Two) -> None:
    held = await claims(two)
    await ends(two, [(claim, Succeeded(1)) for claim in held[:5]])
    written = await ends(two, [(claim, Succeeded(1)) for claim in held])
    assert all(transition is not None for transition in written)
    assert {two.rows.row(task_id)["status"] for task_id in IDS} == {"success"}


QUERIES = load_queries("mysql", TableNames("t"))


def commit(task_id: str, result: str = "1", **changed: Any) -> tuple[Any, dict[str, Any]]:
    params = dict.fromkeys(QUERIES["commit"].names) | {"id": task_id, "result": result, "attempt": 1} | changed
    return QUERIES["commit"], params


def test_ends_that_are_alike_are_one_statement() -> None:
    (merged,) = merge([commit("a"), commit("b"), commit("c", result="2")])
    assert merged.positions == [0, 1, 2]
    sql = merged.sql(WRITERS)
    assert "id IN ('a', 'b', 'c')" in sql
    assert "CASE id WHEN 'a' THEN '1' WHEN 'b' THEN '1' WHEN 'c' THEN '2' END" in sql


@pytest.mark.parametrize("name", sorted(set(QUERIES["commit"].names) - {"id", "result"}))
def test_an_end_that_differs_in_anything_else_has_its_own(name: str) -> None:
    assert [each.positions for each in merge([commit("a"), commit("b", **{name: "other"}), commit("c")])] == [
        [0, 2],
        [1],
    ]


def test_what_was_written_to_a_row_before_stays_before_its_end() -> None:
    hand_off = (QUERIES["hand_off"], {"id": "b", "attempt": 1, "worker_id": None})
    merged = merge([commit("a"), hand_off, commit("b"), commit("c")])
    assert [each.positions for each in merged] == [[0, 3], [1], [2]]
