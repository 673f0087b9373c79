"""The schemas are JSON Schema 2020-12, fit their own examples, and agree with what the sidecar writes and reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from gridsidecar.conformance.lines import TYPES
from gridsidecar.rules.task import Callback, Claim, ErrorType, Message, Status, Task
from gridsidecar.wire import decode_task, encode_callback, encode_input
from gridsidecar.wire.events import READERS
from gridsidecar.wire.fields import FIELDS
from gridsidecar.wire.refused import Refused
from tests.protocol.test_vectors import given, vectors

FOLDER = Path(__file__).parents[2] / "protocol" / "schema" / "v1"
SCHEMAS: dict[str, Any] = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
REGISTRY: Any = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()
)
MESSAGES = sorted(SCHEMAS.keys() - {"common"})
OF_HANDLERS = tuple(READERS)


def valid(name: str, value: Any) -> bool:
    return not problems(name, value)


def problems(name: str, value: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMAS[name], registry=REGISTRY).iter_errors(value)]


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_a_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$id"] == f"urn:gridsidecar:protocol:v1:{name}"


@pytest.mark.parametrize("name", MESSAGES)
def test_its_examples_fit_and_unknown_fields_are_allowed(name: str) -> None:
    assert SCHEMAS[name]["examples"]
    for example in SCHEMAS[name]["examples"]:
        assert problems(name, example) == []
        assert problems(name, {**example, "x_unknown": [1]}) == []


def test_every_type_that_is_read_has_a_schema_vectors_and_a_check() -> None:
    assert set(OF_HANDLERS) <= SCHEMAS.keys()
    assert set(OF_HANDLERS) == set(TYPES)
    lines = b"".join(given(case.values[0], "line") for case in vectors("lines.json")).decode(errors="replace")
    assert [name for name in OF_HANDLERS if f'"type":"{name}"' not in lines] == []


@pytest.mark.parametrize("name", OF_HANDLERS)
def test_every_type_is_in_the_schema_of_all_messages(name: str) -> None:
    for example in SCHEMAS[name]["examples"]:
        assert valid("handler-message", example)
        assert valid("stdout-message", {**example, "gs": 1})
        assert not valid("handler-message", {**example, "gs": 2})
        assert not valid("stdout-message", {key: value for key, value in example.items() if key != "gs"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("progress", {"type": "progress"}),
        ("progress", {"type": "progress", "progress": 101}),
        ("progress", {"type": "progress", "progress": "50"}),
        ("handler-message", {"type": "progress", "progress": -1}),
        ("log", {"type": "log"}),
        ("checkpoint", {"type": "checkpoint"}),
        ("error", {"type": "error"}),
        ("error", {"type": "error", "error": "x", "retryable": "yes"}),
        ("error", {"type": "error", "error": "x", "retry_after_s": -1}),
        ("task", {**SCHEMAS["task"]["examples"][0], "callback_url": "https://example.org"}),
        (
            "callback",
            {**SCHEMAS["callback"]["examples"][1], "result": {"error": "x", "error_type": "y", "traceback": "z"}},
        ),
        ("callback", {**SCHEMAS["callback"]["examples"][1], "result": "x"}),
        ("task-message", {"task_id": " r-1"}),
        ("task-message", {}),
        ("cancel", {"gs": 1, "type": "cancel"}),
    ],
)
def test_what_does_not_fit(name: str, value: Any) -> None:
    assert not valid(name, value)


@pytest.mark.parametrize("case", vectors("lines.json"))
def test_an_event_of_the_vectors_fits_and_a_violation_does_not(case: dict[str, Any]) -> None:
    """Only where a schema can tell: not the form of the line, and not details of errors and logs that are mended."""
    try:
        value = json.loads(given(case, "line"), parse_constant=float)
    except (ValueError, RecursionError):
        return
    mended = "bad-detail" in case["name"] or case["name"] in ("error-without-text", "error-long", "log-unknown-level")
    if case["expect"] == "event" and case.get("channel") != "stdout" and not mended:
        assert problems("handler-message", value) == []
    if case["expect"] == "violation" and case["requirement"] in ("M2", "V1", "V2"):
        assert not valid("handler-message", value)


@pytest.mark.parametrize("case", vectors("task-messages.json"))
def test_the_schema_of_producers_takes_what_the_sidecar_takes(case: dict[str, Any]) -> None:
    message = Message(body=given(case, "body"))
    found = decode_task(message, 16 * 1024 * 1024)
    if isinstance(found, Task):
        assert problems("task-message", found.fields) == []
    elif isinstance(found, Refused) and found.reason in ("no-task-id", "bad-task-id", "bad-field"):
        value = json.loads(message.body)
        if "defer_until" not in value:  # a form of time that no pattern tells
            assert not valid("task-message", value)


def claim(fields: dict[str, Any], checkpoint: Any = None) -> Claim:
    found = decode_task(Message(body=json.dumps(fields).encode()), 10_000)
    assert isinstance(found, Task)
    return Claim(task=found, attempt=2, worker_id="w", max_retry_count=3, redelivered=True, checkpoint=checkpoint)


@pytest.mark.parametrize("fields", SCHEMAS["task-message"]["examples"])
@pytest.mark.parametrize(("timeout_s", "deadline_ms"), [(None, None), (300, 1790000000000)])
def test_what_the_sidecar_writes_for_a_handler_fits(
    fields: dict[str, Any], timeout_s: float | None, deadline_ms: int | None
) -> None:
    line = encode_input(
        claim(fields, {"page": 1}), mode="task", timeout_s=timeout_s, grace_s=10, deadline_ms=deadline_ms
    )
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert problems("task", json.loads(line)) == []


def test_what_no_handler_gets_is_forbidden_in_its_schema() -> None:
    forbidden = {name for name, schema in SCHEMAS["task"]["properties"].items() if schema is False}
    assert forbidden == {name for name, field in FIELDS.items() if field.withheld}
    line = encode_input(
        claim({"task_id": "r-1", "callback_url": "https://example.org", "callback_type": "http"}),
        mode="task",
        timeout_s=None,
        grace_s=10,
        deadline_ms=None,
    )
    assert not forbidden & json.loads(line).keys()


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILED, Status.CANCELLED])
@pytest.mark.parametrize("error_type", [ErrorType.RETRY_EXHAUSTED, "Mine", None])
def test_the_body_of_a_callback_fits(status: Status, error_type: str | None) -> None:
    body = encode_callback(
        "r-1",
        status,
        result=None,
        error="no",
        error_type=error_type,
        last_error_type="Mine",
        attempts=2,
        callback_data=Callback().data,
        moment=datetime(2026, 1, 31, 12, tzinfo=UTC),
    )
    assert problems("callback", json.loads(body)) == []
