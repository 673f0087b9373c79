"""The clients of the HTTP API, in Python and for Node, on a real worker."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start, embedded_place, place, start  # noqa: F401
from tests.support.place import Place
from tests.support.waiting import eventually

sys.path.insert(0, str(Path(__file__).parents[2] / "sdks" / "python"))
from gridsidecar_sdk import ApiError, Operation, TaskClient, TaskInfo, Unreachable

HERE = Path(__file__).parent
TOKEN = "admin-0123456789abcdef"


async def worker(place: Place, start: Start, **handler: Any) -> str:  # noqa: F811
    """The address of one that answers the API."""
    http = {"listen": "127.0.0.1:0", "token": TOKEN}
    sidecar = start(place.config({"default": place.job("say", "hello", **handler)}, http=http))
    await sidecar.ready()
    return next(word[4:] for word in sidecar.text.split() if word.startswith("url=http"))


def kind(call: Any, *arguments: Any, **named: Any) -> str | None:
    try:
        call(*arguments, **named)
    except ApiError as error:
        return error.kind
    return None


async def test_a_day_of_the_python_client(embedded_place: Place, start: Start) -> None:  # noqa: F811
    url = await worker(embedded_place, start)

    def day() -> None:
        steps: list[TaskInfo] = []
        with TaskClient(f"{url}/", token=TOKEN) as client:
            assert client.submit({"n": 1}, task_id="a/ä") == "a/ä"
            task = client.wait("a/ä", 60, steps.append)
            assert (task.status, task.succeeded, task.data, task.attempt) == ("success", True, {"n": 1}, 1)
            assert steps[-1] == task
            assert client.submit({"n": 1}, task_id="a/ä") == "a/ä"
            assert kind(client.submit, {"n": 2}, task_id="a/ä") == "task-exists"
            assert kind(client.retry, "a/ä") == "wrong-state"
            assert kind(client.status, "nobody") == "unknown-task"
            assert kind(client.submit, task_type="") == "bad-task"
            assert client.cancel("later") == "noted"
            assert client.logs("a/ä").endswith("hello\n")
            assert [one.task_id for one in client.tasks(status=["success", "cancelled"])] == ["later", "a/ä"]
            assert client.stats()["statuses"] == {"success": 1, "cancelled": 1}
            with pytest.raises(TimeoutError, match="nobody"):
                client.wait("nobody", 0.3)
            assert len(client.submit()) == 32
        with TaskClient(url, token="x") as stranger:
            assert kind(stranger.status, "a") == "token"
        with TaskClient("http://127.0.0.1:9") as nobody, pytest.raises(Unreachable):
            nobody.status("a")
        with pytest.raises(ValueError, match="no http://"):
            TaskClient("amqp://localhost")

    await asyncio.to_thread(day)


async def failing(place: Place, start: Start) -> str:  # noqa: F811
    """The address of a worker whose tasks fail and owe a callback that nobody takes."""
    http = {"listen": "127.0.0.1:0", "token": TOKEN}
    bad = {"command": ["sh", "-c", "exit 3"]}
    config = place.config({"bad": bad, "other": bad}, http=http, callbacks={"max_retries": 0}, retry={"max_retries": 0})
    sidecar = start({**config, "broker": {**config["broker"], "dead_letter_failed": True}})
    await sidecar.ready()
    return next(word[4:] for word in sidecar.text.split() if word.startswith("url=http"))


async def test_many_at_once_with_the_python_client(embedded_place: Place, start: Start) -> None:  # noqa: F811
    url = await failing(embedded_place, start)

    def day() -> None:
        steps: list[Operation] = []
        with TaskClient(url, token=TOKEN) as client:
            ids = [client.submit(task_type="bad", callback_url="http://127.0.0.1:9/x") for _ in range(5)]
            for task_id in ids:
                assert client.wait(task_id, 60).status == "failed"
            failed = {"type": "bad", "status": ["failed"]}
            found = client.preview("retry", failed)
            assert (found.count, found.outcomes) == (5, {"retried": 5})
            assert found.tasks == [{"task_type": "bad", "status": "failed", "count": 5}]
            assert kind(client.retry_many, failed, expected_count=4) == "count-changed"
            client.pause("bad", reason="a move")
            assert [one["reason"] for one in client.pauses()] == ["a move"]
            begun = client.retry_many(failed, expected_count=5)
            done = client.wait_operation(begun.id, 60, steps.append)
            assert (done.kind, done.state, done.tasks, done.done) == ("retry", "ended", 5, 5)
            assert (done.outcomes, steps[-1]) == ({"retried": 5}, done)
            assert {task_id for task_id, outcome in client.operation_results(begun.id)} == set(ids)
            assert [one.id for one in client.operations()] == [begun.id]
            assert kind(client.stop_operation, begun.id) == "wrong-state"
            assert kind(client.operation, "op_0123456789abcdef") == "unknown-operation"
            client.submit(task_id="later", task_type="bad", defer_by=3000)
            until = time.monotonic() + 60
            while "later" not in [one.task_id for one in client.tasks(status="pending")]:
                assert time.monotonic() < until
            meant = {"status": "pending", "since": "1h"}
            while True:  # some may have begun before their worker heard of the pause
                waiting = client.preview("cancel", meant).count
                cancelled = client.wait_operation(client.cancel_many(meant, expected_count=waiting).id, 60)
                if cancelled.state != "count_changed":
                    break
                assert time.monotonic() < until
            assert sum(cancelled.outcomes.values()) == waiting
            assert cancelled.outcomes.keys() - {"asked", "wrong_state:failed"} == {"cancelled"}  # … or meanwhile
            client.resume("bad")
            assert kind(client.resume, "bad") == "not-paused"

    await asyncio.to_thread(day)


async def test_the_fleet_with_the_python_client(embedded_place: Place, start: Start) -> None:  # noqa: F811
    url = await failing(embedded_place, start)

    def day() -> None:
        with TaskClient(url, token=TOKEN) as client:
            task_id = client.submit(task_id="a/ä", task_type="bad", callback_url="http://127.0.0.1:9/x")
            client.wait(task_id, 60)
            assert client.queues()[0]["queue"] == embedded_place.queue
            assert [one["alive"] for one in client.workers()] == [True]
            until = time.monotonic() + 60
            while not (given_up := client.callbacks(task_id=task_id, dead=True)):
                assert time.monotonic() < until
            (shown,) = (one for one in client.callback(task_id) if one["id"] == given_up[0]["id"])  # beside its letter
            assert shown["body"].startswith("{")
            assert kind(client.callback, "nobody") == kind(client.drop_callbacks, "nobody") == "unknown-callback"
            assert client.replay_callbacks(given_up[0]["id"]) == 1
            assert kind(client.replay_callbacks, "nobody") == "unknown-callback"
            assert client.replay_dead_callbacks() in (0, 1)
            assert client.drop_callbacks(given_up[0]["id"]) == 1
            assert client.drop_dead_callbacks() == 0
            while not (letters := client.dead_letters()):
                assert time.monotonic() < until
            assert (letters[0]["task_id"], letters[0]["task_status"]) == (task_id, "failed")
            assert "bad" in client.dead_letter(task_id)[0]["body"]
            assert kind(client.dead_letter, "nobody") == "unknown-letter"
            told = client.replay_dead([task_id, "nobody"])
            assert (told["outcomes"]["sent"], told["unknown"]) == (1, ["nobody"])
            assert client.drop_dead(["nobody"])["dropped"] == 0

    await asyncio.to_thread(day)


async def test_many_at_once_with_the_node_client(embedded_place: Place, start: Start) -> None:  # noqa: F811
    url = await failing(embedded_place, start)
    node = await asyncio.create_subprocess_exec(
        "node", str(HERE / "bulk.js"), url, TOKEN, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await node.communicate()
    assert json.loads(out) == {
        "preview": [3, {"retried": 3}, [{"task_type": "bad", "status": "failed", "count": 3}]],
        "changed": "count-changed",
        "pauses": ["a move"],
        "operation": ["ended", 3, {"retried": 3}],
        "steps": "ended",
        "results": 3,
        "operations": 1,
        "stopped": "wrong-state",
        "cancelled": {"cancelled": 1},
        "resumed": "not-paused",
        "queue": embedded_place.queue,
        "alive": [True],
        "dropped": [True, "unknown-callback", "unknown-callback"],
        "callback": [1, "unknown-callback"],
        "letters": ["failed", "unknown-letter", ["nobody"], 0],
    }


async def test_a_client_for_many_threads_whose_server_is_replaced(
    embedded_place: Place,  # noqa: F811
    start: Start,  # noqa: F811
) -> None:
    """A kept connection that is closed meanwhile is nobody's trouble."""
    url = await worker(embedded_place, start)
    with TaskClient(url, token=TOKEN) as client:
        await asyncio.to_thread(client.submit, task_id="t")
        found: list[TaskInfo] = []
        threads = [threading.Thread(target=lambda: found.append(client.wait("t", 60))) for _ in range(5)]
        for thread in threads:
            thread.start()
        await eventually(lambda: len(found) == 5)
        client._connection.sock.shutdown(socket.SHUT_RDWR)  # as a proxy may do
        assert (await asyncio.to_thread(client.status, "t")).ended
        for thread in threads:
            thread.join()


async def test_a_day_of_the_node_client(embedded_place: Place, start: Start) -> None:  # noqa: F811
    url = await worker(embedded_place, start)
    node = await asyncio.create_subprocess_exec(
        "node", str(HERE / "client.js"), url, TOKEN, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await node.communicate()
    said = json.loads(out)
    task = said.pop("task")
    assert (task["task_id"], task["status"], task["data"]) == ("a/ä", "success", {"n": 1})
    assert said == {
        "again": "a/ä",
        "other": "task-exists",
        "retried": "wrong-state",
        "unknown": "unknown-task",
        "noted": "noted",
        "late": "Error",
        "logs": said["logs"],
        "listed": ["later", "a/ä"],
        "stats": {"success": 1, "cancelled": 1},
        "steps": "success",
        "made": True,
        "wrong_token": "token",
        "nobody": True,
    }
    assert said["logs"].endswith("hello\n")
