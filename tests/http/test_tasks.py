"""Tasks over HTTP: shown, said, submitted, whatever their ids and states are."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from gridsidecar.http.redaction import Hiding
from gridsidecar.rules.task import Callback, Failed, NewOutput, OutputPart, Progress, Report, Succeeded
from tests.http.conftest import Serve, Served, problem
from tests.store.workers import BOOM, Two, cancel, decided, end, task
from tests.support.waiting import eventually

ODD_IDS = ["a/b", "ä ö", "50%", "?x=1#y", "cancel", "retry", "日本", "a+b", "%2F"]


def path_of(task_id: str) -> str:
    return "/v1/tasks/" + quote(task_id, safe="")


@pytest.mark.parametrize("task_id", ODD_IDS)
async def test_a_task_of_any_id(api: Served, two: Two, task_id: str) -> None:
    await two.started(message=task(task_id, fields={"data": {"n": 1}}))
    found = await api.found(path_of(task_id))
    assert (found["task_id"], found["status"], found["data"], found["attempt"]) == (task_id, "running", {"n": 1}, 1)
    assert found["created_at"].endswith("Z")


@pytest.mark.parametrize("part", ["", "/attempts", "/logs", "/events"])
async def test_an_unknown_task(api: Served, part: str) -> None:
    assert problem(await api.get(f"/v1/tasks/nobody{part}")) == (404, "unknown-task")


async def test_an_ended_task_has_its_history(api: Served, two: Two) -> None:
    claim = await two.started()
    report = Report(log_head="hello\n", exit_code=0)
    await two.a.tasks.ends.commit(claim, decided(claim, Succeeded(result={"sum": 3})), report, Progress(percent=40))
    found = await api.found("/v1/tasks/t")
    assert (found["status"], found["result"], found["progress"]) == ("success", {"sum": 3}, 100)
    assert [(one["attempt"], one["outcome"], one["exit_code"]) for one in found["attempts"]] == [(1, "success", 0)]
    assert (await api.found("/v1/tasks/t/attempts"))["attempts"] == found["attempts"]
    said = await api.found("/v1/tasks/t/logs")
    assert (said["pieces"], said["next"], said["running"]) == ([{"text": "hello\n", "left_out": 0}], 6, False)


async def test_what_is_said_while_it_runs(api: Served, two: Two) -> None:
    claim = await two.started()
    await two.a.output.write(claim, NewOutput((OutputPart(0, b"one\n"),)))
    first = await api.found("/v1/tasks/t/logs")
    assert ([piece["text"] for piece in first["pieces"]], first["running"]) == (["one\n"], True)
    await two.a.output.write(claim, NewOutput((OutputPart(4, b"two\n"),)))
    more = await api.found("/v1/tasks/t/logs", since=first["next"])
    assert [piece["text"] for piece in more["pieces"]] == ["two\n"]
    assert problem(await api.get("/v1/tasks/t/logs", params={"attempt": 7})) == (404, "unknown-attempt")


async def test_names_that_are_hidden(serve: Serve, two: Two) -> None:
    claim = await two.started(message=task(fields={"data": {"Password": "x", "list": [{"api_key": "y", "n": 1}]}}))
    await two.a.output.write(claim, NewOutput((OutputPart(0, b'password=x {"api_key": "y"} n=1\n'),)))
    async with serve(hide=["password", "*_key"]) as api:
        assert (await api.found("/v1/tasks/t"))["data"] == {"Password": "***", "list": [{"api_key": "***", "n": 1}]}
        (piece,) = (await api.found("/v1/tasks/t/logs"))["pieces"]
        assert piece["text"] == 'password=*** {"api_key": ***} n=1\n'


async def test_names_that_are_hidden_in_what_fails(serve: Serve, two: Two) -> None:
    asked = Callback(url="http://u:secret1@example.com/x?password=secret2&n=1", data={"password": "secret6"})
    claim = await two.started(retries=0, message=task(fields={"callback": asked}))
    report = Report(stderr_tail="Traceback: connect(password='secret3') failed", notes=("password=secret4",))
    failed = Failed(error="connect(password='secret5') failed", error_type="X")
    await two.a.tasks.ends.commit(claim, decided(claim, failed), report, Progress())
    async with serve(hide=["password"]) as api:
        for path in (
            "/v1/tasks/t",
            "/v1/tasks/t/attempts",
            "/v1/tasks/t/logs",
            "/v1/callbacks",
            "/v1/callbacks/t",
            "/v1/tasks",
        ):
            answer = await api.get(path)
            assert answer.status_code == 200
            assert "secret" not in answer.text, path


async def test_no_half_of_a_line_is_said_where_names_are_hidden(serve: Serve, two: Two) -> None:
    claim = await two.started()
    said = b"one\nlogin with password=hunter2 ok\n\xe4\xbd\xa0\xe5\xa5\xbd password: x"
    await two.a.output.write(claim, NewOutput((OutputPart(0, said),)))
    async with serve(hide=["password"]) as api:
        for since in range(len(said) + 1):
            found = await api.found("/v1/tasks/t/logs", since=since)
            text = "".join(piece["text"] for piece in found["pieces"])
            assert text in ("one\nlogin with password=*** ok\n", "login with password=*** ok\n", ""), since
        first = await api.found("/v1/tasks/t/logs")
        await two.a.output.write(claim, NewOutput((OutputPart(len(said), b"yz\nend\n"),)))
        more = await api.found("/v1/tasks/t/logs", since=first["next"])
        assert "".join(piece["text"] for piece in more["pieces"]) == "你好 password: ***\nend\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('cfg "{\\"password\\": \\"x\\"}" b', 'cfg "{\\"password\\": ***'),
        ('{"password": ["a", "b"]}', '{"password": ***'),
        ('{"password": {"a": "b"}}', '{"password": ***'),
        ("password: correct horse\nnext", "password: ***\nnext"),
        ("PASSWORD=a&n=1", "PASSWORD=***&n=1"),
        ("api_key='a b' c", "api_key=*** c"),
        ("nopassword=1 passwords=2 password", "nopassword=1 passwords=2 password"),
    ],
)
def test_what_is_hidden_in_a_text(text: str, shown: str) -> None:
    assert Hiding(["password", "*_key"]).text(text) == shown


# -- submit -----------------------------------------------------------------------------------------------------------


async def test_a_task_goes_on_the_queue(api: Served) -> None:
    answer = await api.post("/v1/tasks", {"task_id": "a/1", "task_type": "resize", "data": [1], "own": True})
    assert answer.status_code == 202
    assert answer.json() == {"task_id": "a/1", "task_type": "resize", "status": "pending", "progress": 0}
    assert answer.headers["location"] == "tasks/a%2F1"
    (queue,) = (await api.found("/v1/queues"))["queues"]
    assert queue["ready"] == 1


async def test_an_id_is_made_up(api: Served) -> None:
    assert len((await api.post("/v1/tasks", {"data": 1})).json()["task_id"]) == 32


async def test_the_id_is_the_idempotency_key(api: Served, two: Two) -> None:
    body = {"task_id": "t", "data": {"n": 1}}
    sent = task("t", body=json.dumps(body).encode(), fields={"data": {"n": 1}})
    await end(two.a, await two.started(message=sent), BOOM)
    again = await api.post("/v1/tasks", body)
    assert (again.status_code, again.json()["status"]) == (200, "retrying")
    for alike in (True, 1.0, "1"):
        assert problem(await api.post("/v1/tasks", {"task_id": "t", "data": {"n": alike}})) == (409, "task-exists")
    other = await api.post("/v1/tasks", {"task_id": "t", "data": {"n": 2}})
    assert problem(other) == (409, "task-exists")
    assert other.json()["state"] == "retrying"
    (queue,) = (await api.found("/v1/queues"))["queues"]
    assert queue["ready"] == 0


async def test_a_task_that_was_cancelled_before_it_came_is_refused_as_that(api: Served, two: Two) -> None:
    await cancel(two.a, "t")
    refused = await api.post("/v1/tasks", {"task_id": "t", "data": 1})
    assert problem(refused) == (409, "task-exists")
    assert refused.json()["detail"] == "Task t was cancelled before it came: send it under another id to run it."
    assert refused.json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "bad-request")),
        (b"[1]", (400, "bad-request")),
        (b"{", (400, "bad-request")),
        (b'{"a": NaN}', (400, "bad-request")),
        (b'"\xff"', (400, "bad-request")),
        (b"[" * 200_000, (400, "bad-request")),
        (b'{"task_id": ""}', (422, "bad-task")),
        (b'{"task_id": 5}', (422, "bad-task")),
        (b'{"priority": "soon"}', (422, "bad-task")),
        (b'{"defer_by": -1}', (422, "bad-task")),
    ],
)
async def test_what_is_no_task(api: Served, body: bytes, expected: tuple[int, str]) -> None:
    sent = await api.client.post("/v1/tasks", content=body, headers={"Content-Type": "application/json"})
    assert problem(sent) == expected


async def test_a_body_that_is_not_sent_as_json(api: Served) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        sent = await api.client.post("/v1/tasks", content=b'{"data": 1}', headers={"Content-Type": kind})
        assert problem(sent) == (415, "not-json")


async def test_a_body_that_is_too_large(api: Served) -> None:
    large = b'{"data": "' + b"x" * (17 * 1024 * 1024) + b'"}'
    kind = {"Content-Type": "application/json"}
    assert problem(await api.client.post("/v1/tasks", content=large, headers=kind)) == (413, "too-large")

    async def without_length() -> Any:
        for start in range(0, len(large), 1 << 20):
            yield large[start : start + (1 << 20)]

    assert problem(await api.client.post("/v1/tasks", content=without_length(), headers=kind)) == (413, "too-large")


async def test_a_task_that_needs_more_memory_than_a_worker_has_for_it(serve: Serve) -> None:
    async with serve(worker={"memory_budget_mb": 1}) as api:
        told = await api.post("/v1/tasks", {"task_id": "big", "data": "x" * 400_000})
        assert problem(told) == (422, "bad-task")
        assert "worker.memory_budget_mb" in told.json()["detail"]
        assert problem(await api.get("/v1/tasks/big")) == (404, "unknown-task")
        assert (await api.post("/v1/tasks", {"task_id": "fits", "data": "x" * 200_000})).status_code == 202


# -- events -----------------------------------------------------------------------------------------------------------


Events = list[tuple[str, Any]]


async def events_of(api: Served, path: str, events: Events | None = None, **headers: str) -> Events:
    """Names and data of the events of a whole stream; `events` has those that came, while it goes on."""
    events = [] if events is None else events
    async with api.client.stream("GET", path, headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        name = ""
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                events.append((name, json.loads(line.removeprefix("data: "))))
    return events


async def test_events_until_the_end(api: Served, two: Two) -> None:
    claim = await two.started()
    events: Events = []
    stream = asyncio.create_task(events_of(api, "/v1/tasks/t/events", events))
    await eventually(lambda: events)
    assert not stream.done()
    await end(two.a, claim, Succeeded(result=None))
    await asyncio.wait_for(stream, 10)
    assert [(name, data["status"]) for name, data in events] == [
        ("task", "running"),
        ("task", "success"),
        ("end", "success"),
    ]


async def test_events_of_an_ended_task_that_the_client_has_seen(api: Served, two: Two) -> None:
    await end(two.a, await two.started(), Succeeded(result=None))
    ((_, seen), _) = await events_of(api, "/v1/tasks/t/events")
    events = await events_of(api, "/v1/tasks/t/events", **{"Last-Event-ID": str(seen["rev"])})
    assert [name for name, _ in events] == ["end"]


async def test_streams_end_with_the_server(serve: Serve, two: Two) -> None:
    await two.started()
    async with httpx.AsyncClient() as client:
        async with serve() as api:
            events: Events = []
            path = f"{api.url}/v1/tasks/t/events"
            stream = asyncio.create_task(events_of(Served(api.url, client), path, events))
            await eventually(lambda: events)
        await asyncio.wait_for(stream, 10)
    assert [name for name, _ in events] == ["task"]


async def test_hundreds_of_streams_and_one_look_a_second(api: Served, two: Two) -> None:
    claim = await two.started()
    heard: list[Events] = [[] for _ in range(91)]
    *limits, gone = [asyncio.create_task(events_of(api, "/v1/tasks/t/events", events)) for events in heard]
    await eventually(lambda: all(heard))
    gone.cancel()
    await end(two.a, claim, Succeeded(result=None))
    for events in await asyncio.wait_for(asyncio.gather(*limits), 30):
        assert events[-1][0] == "end"


async def test_more_streams_at_once_than_there_may_be(serve: Serve, two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each counts from the moment it is asked for, and makes room when its client is gone."""
    monkeypatch.setattr("gridsidecar.http.api.most_streams", lambda: 20)
    await two.started()
    async with serve() as api:
        host, port = urlsplit(api.url).hostname, urlsplit(api.url).port

        async def asked() -> tuple[bytes, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /v1/tasks/t/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return await reader.readuntil(b"\r\n\r\n"), writer

        answers = await asyncio.gather(*(asked() for _ in range(30)))
        assert sum(head.startswith(b"HTTP/1.1 200") for head, _ in answers) == 20
        refused = [head for head, _ in answers if head.startswith(b"HTTP/1.1 503")]
        assert len(refused) == 10
        assert all(b"retry-after: 5" in head.lower() for head in refused)
        for _, writer in answers:
            writer.close()

        async def room() -> bool:
            head, writer = await asked()
            writer.close()
            return head.startswith(b"HTTP/1.1 200")

        while not await room():
            await asyncio.sleep(0.05)


async def test_events_of_a_task_that_a_pause_keeps(api: Served, two: Two) -> None:
    await two.retrying()
    two.rows.run("UPDATE grid_async_task_tasks SET next_run_at = created_at, status = 'retrying' WHERE id = 't'")
    await two.a.pauses.pause("default", None, "a move")
    told: Events = []
    stream = asyncio.create_task(events_of(api, "/v1/tasks/t/events", told))
    await eventually(lambda: told)
    await two.a.pauses.resume("default")
    await eventually(lambda: told[-1][1]["paused"] is None)
    await cancel(two.a, "t")
    await asyncio.wait_for(stream, 10)
    kept = [data["paused"] and data["paused"]["reason"] for name, data in told if name == "task"]
    assert kept[0] == "a move"
    assert None in kept
    assert told[-1][0] == "end"


async def test_a_hint_at_a_type_that_nobody_takes(serve: Serve) -> None:
    async with serve(handlers={"resize": {"command": ["true"]}}) as api:
        sent = await api.post("/v1/tasks", {"task_id": "x", "task_type": "resise"})
        assert sent.status_code == 202
        assert sent.json()["hint"] == "no handler of this configuration takes the type resise; there are resize"
        sent = await api.post("/v1/tasks", {"task_id": "y", "task_type": "resize"})
        assert "hint" not in sent.json()
