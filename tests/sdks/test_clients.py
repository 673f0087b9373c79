"""The clients of the HTTP API, in Python and for Node, on a real worker."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start, embedded_place, place, start  # noqa: F401
from tests.support.place import Place
from tests.support.waiting import eventually

sys.path.insert(0, str(Path(__file__).parents[2] / "sdks" / "python"))
from gridsidecar_sdk import ApiError, TaskClient, TaskInfo, Unreachable

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
