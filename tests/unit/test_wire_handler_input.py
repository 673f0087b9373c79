"""The line that a handler reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from gridsidecar.rules.task import Claim, Message, Task
from gridsidecar.rules.trace import Trace
from gridsidecar.wire import data_json, decode_task, encode_input
from tests.unit.test_wire_task_message import json_values


def claim_of(body: dict[str, Any], **changes: Any) -> Claim:
    task = decode_task(Message(body=json.dumps(body).encode()), 100_000)
    assert isinstance(task, Task)
    return Claim(task=task, attempt=2, worker_id="w", max_retry_count=3, **changes)


def line_of(claim: Claim, mode: str = "task") -> Any:
    raw = encode_input(
        claim, mode=mode, timeout_s=300, grace_s=10, deadline_ms=1_790_000_000_000, trace=Trace("00-a-b-01")
    )
    assert raw.isascii()
    assert raw.count(b"\n") == 1
    assert raw.endswith(b"\n")
    return json.loads(raw)


def test_the_task_with_its_run() -> None:
    claim = claim_of(
        {"task_id": "t1", "task_type": "resize", "data": {"n": 1}, "callback_data": {"o": 7}, "mine": "x"},
        redelivered=True,
        checkpoint={"page": 3},
    )
    assert line_of(claim) == {
        "gs": 1,
        "type": "task",
        "task_id": "t1",
        "task_type": "resize",
        "data": {"n": 1},
        "max_retry_count": 3,
        "callback_data": {"o": 7},
        "mine": "x",
        "run": {
            "attempt": 2,
            "idempotency_key": "t1",
            "redelivered": True,
            "timeout_s": 300,
            "grace_s": 10,
            "deadline_ms": 1_790_000_000_000,
            "traceparent": "00-a-b-01",
            "checkpoint": {"page": 3},
        },
    }


def test_what_a_message_leaves_out_is_there() -> None:
    line = line_of(claim_of({"task_id": "t1"}))
    assert (line["task_type"], line["data"], line["max_retry_count"]) == ("default", None, 3)


def test_our_names_are_ours_and_callback_addresses_stay_here() -> None:
    line = line_of(
        claim_of(
            {"task_id": "t1", "gs": 9, "type": "result", "run": {"attempt": 99}, "max_retry_count": 8}
            | {"callback_url": "https://x/?token=1", "callback_type": "http"}
        )
    )
    assert (line["gs"], line["type"], line["run"]["attempt"], line["max_retry_count"]) == (1, "task", 2, 3)
    assert not {"callback_url", "callback_type"} & set(line)


def test_a_producers_idempotency_key_is_used() -> None:
    assert line_of(claim_of({"task_id": "t1", "idempotency_key": "k"}))["run"]["idempotency_key"] == "k"
    assert line_of(claim_of({"task_id": "t1", "idempotency_key": 7}))["run"]["idempotency_key"] == "t1"


def test_only_the_data() -> None:
    assert line_of(claim_of({"task_id": "t1", "data": {"text": "a\u2028b\né"}}), "data") == {"text": "a\u2028b\né"}


def test_data_json_refuses_what_is_no_json() -> None:
    assert data_json({"a": [1, "é"]}) == '{"a":[1,"\\u00e9"]}'
    with pytest.raises(ValueError):
        data_json(float("nan"))


@given(json_values, json_values)
def test_any_task_becomes_one_line_that_parses(data: Any, extra: Any) -> None:
    body = json.dumps({"task_id": "t1", "data": data, "extra": extra}).encode()
    task = decode_task(Message(body=body), 100_000)
    if isinstance(task, Task):
        claim = Claim(task=task, attempt=1, worker_id="w", max_retry_count=0)
        line = line_of(claim)
        assert (line["data"], line["extra"]) == (task.data, task.fields["extra"])
        assert line_of(claim, "data") == task.data
