"""Messages of producers in five languages run through, with the rows and the callbacks that were promised to them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.store.direct import TASKS, Direct
from tests.store.plugin import SHAPES
from tests.support.place import Place
from tests.support.waiting import eventually
from tests.support.web import web_server

FILE = Path(__file__).parent / "recorded" / "producers.jsonl"
RECORDED = [json.loads(line) for line in FILE.read_text().splitlines()]
RESULT = '{"gs":1,"type":"result","result":{"w":640,"名":"图"}}'
ERROR = '{"gs":1,"type":"error","error":"no such image","error_type":"NotFound","retryable":false,"traceback":"secret"}'
DATA = {"input": "test_data", "名": "数据 <a&b>", "ratio": 0.1, "n": None}
MOMENT = rb'"timestamp":"(20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ)"'


def without_moment(body: bytes) -> bytes:
    assert re.search(MOMENT, body), body
    return re.sub(MOMENT, b'"timestamp":"T"', body)


def bodies(url: str, queue: str) -> list[tuple[str, bytes, dict[str, Any]]]:
    """Of each recorded message: as it is, one whose task fails, and one that asks for a callback by RabbitMQ."""
    found: list[tuple[str, bytes, dict[str, Any]]] = []
    for one in RECORDED:
        body = one["body"].replace("{url}", url)
        failing = body.replace("data_processing", "failing").replace("5f0c2b1e", "failing")
        by_queue = re.sub(r'"max_retry_count": ?3', '"callback_type":"rabbitmq"', body).replace("5f0c2b1e", "queue")
        named = by_queue.replace("5f0c2b1e", "named").replace("queue", "named", 1)
        named = named.replace('"callback_type"', f'"callback_data":{{"queue_name":"{queue}"}},"callback_type"')
        found += [(one["language"], text.encode(), one["properties"]) for text in (body, failing, by_queue, named)]
    return found


def ended(place: Place) -> int:
    return sum(row["status"] in ("success", "failed") for row in place.rows().values() if row["task_type"] != "old")


def make_old_table(place: Place) -> None:
    """As the earlier plugin made it, with a row of each status, one of them for a message that is still to come."""
    shape = SHAPES["written out"]
    direct = Direct(place.store_url)
    direct.run(shape.create())
    for status in ("pending", "running", "success", "failed", "retrying"):
        direct.run(f"INSERT INTO {TASKS} (id, task_type, status, data) VALUES (?, 'old', ?, '{{}}')", status, status)
    direct.run(f"INSERT INTO {TASKS} (id, task_type, data) VALUES ('go-5f0c2b1e', 'data_processing', NULL)")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("table", ["our own table", "the plugin's table"])
async def test_messages_of_five_languages(place: Place, start: Start, queue: str, table: str) -> None:
    if table == "the plugin's table":
        make_old_table(place)
    before = {row["id"]: row["status"] for row in place.rows().values() if row["task_type"] == "old"}
    answers, default = f"{queue}.answers", f"{queue}.callbacks"
    async with web_server() as web:
        sent = bodies(web.url, answers)
        for _, body, properties in sent:
            await place.publish_bodies(body, **properties)
        handlers = {"default": place.job("say", RESULT), "failing": place.job("say", ERROR)}
        start(place.config(handlers, worker={"concurrency": 4}, callbacks={"allow": ["127.0.0.1"], "queue": default}))
        await eventually(lambda: ended(place) == len(sent), timeout=60)
        await web.wait_for(10, timeout=60)
        for language, name in [(one["language"], json.loads(one["body"])["task_id"].split("-")[0]) for one in RECORDED]:
            requests = [request for request in web.requests if request.path == f"/{language}"]
            told = {without_moment(request.body) for request in requests}
            assert told == {
                f'{{"task_id":"{name}-5f0c2b1e","status":"success","result":{{"w":640,"\\u540d":"\\u56fe"}},'
                '"timestamp":"T","callback_data":{}}'.encode(),
                f'{{"task_id":"{name}-failing","status":"failed","result":{{"error":"no such image",'
                '"error_type":"NotFound"},"timestamp":"T","callback_data":{}}'.encode(),
            }
            assert all(request.method == "POST" for request in requests)
            assert all(request.headers["content-type"] == "application/json" for request in requests)
            row = place.row(f"{name}-5f0c2b1e")
            assert (row["task_type"], row["status"], json.loads(row["data"])) == ("data_processing", "success", DATA)
            assert json.loads(row["result"]) == {"w": 640, "名": "图"}
            assert (row["progress"], row["retry_count"], row["max_retry_count"]) == (100, 0, 3)
            assert (row["callback_url"], row["callback_type"]) == (f"{web.url}/{language}", "http")
            assert row["created_at"] <= row["started_at"] <= row["completed_at"] <= row["updated_at"]
            failed = place.row(f"{name}-failing")
            assert (failed["status"], failed["error_message"], failed["result"]) == ("failed", "no such image", None)
    await eventually(lambda: place.count(answers) == place.count(default) == len(RECORDED))
    for name, told in (("queue", place.take(default)), ("named", place.take(answers))):
        assert {json.loads(body)["task_id"].split("-")[1] for body, _ in told} == {name}
        for body, properties in told:
            data = {"queue_name": answers} if name == "named" else {}
            assert list(json.loads(body)) == ["task_id", "status", "result", "timestamp", "callback_data"]
            assert json.loads(body)["callback_data"] == data
            assert (properties["delivery_mode"], properties["content_type"]) == (2, "application/json")
            assert properties["message_id"].startswith("cb_")
    assert {row["id"]: row["status"] for row in place.rows().values() if row["task_type"] == "old"} == before
    assert b"secret" not in b"".join(request.body for request in web.requests)
