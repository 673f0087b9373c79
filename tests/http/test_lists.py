"""Lists, figures and dead letters over HTTP."""

from __future__ import annotations

from base64 import b64encode
from itertools import chain
from typing import Any

import pytest

from gridsidecar.broker import make_broker
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.http import cursor
from gridsidecar.rules.task import Message, Succeeded
from gridsidecar.store import Position
from gridsidecar.telemetry import Readiness
from tests.http.conftest import Serve, Served, problem
from tests.store.workers import BOOM, QUEUE, Two, end, task


async def some(two: Two, *ids: str, fail: bool = True, task_type: str = "mail") -> None:
    for task_id in ids:
        claim = await two.started(retries=0, message=task(task_id, fields={"task_type": task_type}))
        await end(two.a, claim, BOOM if fail else Succeeded(result=None))


async def pages(api: Served, **params: Any) -> list[list[str]]:
    """Ids, page by page."""
    found: list[list[str]] = []
    while True:
        page = await api.found("/v1/tasks", **params)
        found.append([one["task_id"] for one in page["tasks"]])
        if page["next"] is None:
            return found
        params["cursor"] = page["next"]


async def test_pages_newest_first(api: Served, two: Two) -> None:
    await some(two, *(f"t{number}" for number in range(7)))
    found = await pages(api, limit=3)
    assert [len(page) for page in found[:2]] == [3, 3]
    assert list(chain.from_iterable(found)) == [f"t{number}" for number in reversed(range(7))]


@pytest.mark.parametrize(
    ("params", "ids"),
    [
        ({"status": "failed"}, ["b", "a"]),
        ({"status": ["failed", "success"]}, ["c", "b", "a"]),
        ({"type": "resize"}, ["c"]),
        ({"error_type": "RateLimited"}, ["b", "a"]),
        ({"id_prefix": "a"}, ["a"]),
        ({"queue": "other"}, []),
        ({"since": "1h"}, ["r", "c", "b", "a"]),
        ({"until": "1h"}, []),
        ({"status": "failed", "type": "resize"}, []),
    ],
)
async def test_filters(api: Served, two: Two, params: dict[str, Any], ids: list[str]) -> None:
    await some(two, "a", "b")
    await some(two, "c", fail=False, task_type="resize")
    await two.started(message=task("r"))
    assert list(chain.from_iterable(await pages(api, **params))) == ids


@pytest.mark.parametrize(
    "query",
    [
        *("status=nope", "type=", "since=soon", "limit=201", "limit=0", "statuses=failed", "error_type=a&error_type=b"),
        *("cursor=x", "cursor=WzFd", "cursor=" + "A" * 5000, "cursor=WyJub3BlIiwgInQiXQ"),
        "cursor=" + b64encode(b'["9999-99-99 00:00:00.000", "t"]').decode().rstrip("="),
        "&".join(f"type=t{number}" for number in range(21)),
    ],
)
async def test_questions_that_cannot_be(api: Served, query: str) -> None:
    assert problem(await api.get(f"/v1/tasks?{query}")) == (400, "bad-request")


def test_a_cursor_is_what_it_was_made_of() -> None:
    for place in (Position("2026-01-01 00:00:00.123", "ä/日本"), Position(None, "x")):
        assert cursor.decoded(cursor.encoded(place) or "") == place
    assert cursor.encoded(None) is None


async def test_figures(api: Served, two: Two) -> None:
    await some(two, "a", "b")
    await two.started(message=task("r"))
    figures = await api.found("/v1/stats")
    assert figures["statuses"] == {"failed": 2, "running": 1}
    assert {(one["task_type"], one["status"]): one["count"] for one in figures["tasks"]} == {
        ("mail", "failed"): 2,
        ("default", "running"): 1,
    }
    assert [one["name"] for one in figures["workers"]] == ["one", "two"]
    await some(two, "c")
    assert (await api.found("/v1/stats"))["statuses"]["failed"] == 2  # read once for all who ask
    assert (await api.found("/v1/stats", since="1h"))["statuses"]["failed"] == 3
    assert (await api.found("/v1/stats/series")) == {"step_s": 60.0, "points": []}
    assert (await api.found("/v1/stats/series", since="8d"))["step_s"] == 360.0
    assert (await api.found("/v1/stats/series", since="1h", until="2h"))["points"] == []


# -- dead letters -----------------------------------------------------------------------------------------------------


async def dead(api: Served, url: str, *bodies: bytes) -> None:
    broker = make_broker(BrokerSettings(url=url, queue=QUEUE), Readiness())
    await broker.open()
    await broker.ensure_dead_letters()
    for number, body in enumerate(bodies):
        await broker.dead_letter(Message(body=body, message_id=f"m{number}"), "bad-field")
    await broker.close()


async def test_letters_of_tasks_that_failed_for_good(api: Served, tmp_path: Any) -> None:
    broker = make_broker(BrokerSettings(url=f"sqlite:///{tmp_path}/broker.db", queue=QUEUE), Readiness())
    await broker.open()
    await broker.ensure_dead_letters()
    await broker.dead_letter(Message(body=b'{"task_id": "a"}'), "HandlerExit: exit status 3", 4)
    await broker.close()
    for path in ("/v1/dead", "/v1/dead/a"):
        assert (await api.found(path))["dead"][0]["attempts"] == 4


async def test_dead_letters(serve: Serve, two: Two, tmp_path: Any) -> None:
    async with serve(hide=["password"]) as api:
        url = f"sqlite:///{tmp_path}/broker.db"
        await dead(api, url, b'{"task_id": "a", "data": {"password": "x"}}', b"rubbish", b'{"task_id": "done"}')
        await some(two, "done", fail=False)
        listed = await api.found("/v1/dead")
        assert [(one["task_id"], one["message_id"], one["task_status"]) for one in listed["dead"]] == [
            ("a", "m0", None),
            (None, "m1", None),
            ("done", "m2", "success"),
        ]
        assert (await api.found("/v1/dead", limit=2))["more"] is True
        (whole,) = (await api.found("/v1/dead/a"))["dead"]
        assert '"password": "x"' not in whole["body"]
        assert whole["body_base64"] is None
        assert problem(await api.get("/v1/dead/nobody")) == (404, "unknown-letter")
        told = (await api.post("/v1/dead/replay", {"ids": ["a", "m1", "done", "nobody"]})).json()
        assert {one["id"]: one["outcome"] for one in told["letters"]} == {
            "a": "sent",
            "m1": "refused_again",
            "done": "not_failed",
        }
        assert told["unknown"] == ["nobody"]
        (queue,) = (await api.found("/v1/queues"))["queues"]
        assert (queue["ready"], queue["dead"]) == (1, 2)
        dropped = (await api.post("/v1/dead/drop", {"all": True})).json()
        assert (dropped["dropped"], len(dropped["letters"]), dropped["unknown"]) == (2, 2, [])


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"all": False}, {"ids": ["a"], "all": True}, {"ids": [5]}])
async def test_letters_that_nobody_means(api: Served, body: Any) -> None:
    for what in ("replay", "drop"):
        assert problem(await api.post(f"/v1/dead/{what}", body)) == (400, "bad-request")


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (b'{"task_id": "a", "data": {"password": ["geheim", "geheim"], "n": 1}}', '"n":1'),
        (b'{"task_id": "a", "data": {"deep": {"password": {"x": "geheim"}}, "n": 1}}', '"n":1'),
        (b'{"task_id": "a", "data": "{\\"password\\": \\"geheim\\"}"}', "task_id"),
        (b'{"task_id": "a", "password": "geheim"', "task_id"),
        (b'{"task_id": "a", "data": {"pa\\u0073sword": "geheim"}}', "task_id"),
    ],
)
async def test_what_is_hidden_in_dead_letters(serve: Serve, tmp_path: Any, body: bytes, left: str) -> None:
    async with serve(hide=["password"]) as api:
        await dead(api, f"sqlite:///{tmp_path}/broker.db", body, b"\xff password=geheim")
        for path in ("/v1/dead", "/v1/dead/m0", "/v1/dead/m1"):
            told = await api.get(path)
            assert "geheim" not in told.text
        (whole,) = (await api.found("/v1/dead/m0"))["dead"]
        assert left in whole["body"]
        (other,) = (await api.found("/v1/dead/m1"))["dead"]
        assert (whole["body_base64"], other["body_base64"]) == (None, None)
