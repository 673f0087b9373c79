"""The one line of JSON that a handler or a hook reads on stdin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from gridsidecar.rules.task import Claim
from gridsidecar.rules.trace import Trace
from gridsidecar.wire.fields import FIELDS
from gridsidecar.wire.json_text import JsonText, Spliced, spliced
from gridsidecar.wire.strict_json import data_json

PROTOCOL_VERSION = 1
TASK_PREFIX = b'{"gs":%d,"type":"task",' % PROTOCOL_VERSION  # how every line of `encode_input` begins in mode `task`

_NOT_THE_PRODUCERS = {"gs", "type", "run", "task_id", "task_type", "data", "max_retry_count"}  # ours to set
_NOT_PASSED_ON = _NOT_THE_PRODUCERS | {name for name, field in FIELDS.items() if field.withheld}


def encode_input(
    claim: Claim,
    *,
    mode: str,
    timeout_s: float | None,
    grace_s: float,
    deadline_ms: int | None,
    trace: Trace | None = None,
) -> bytes | Spliced:
    """One line of ASCII JSON with its LF, in parts where the task is large; `mode` is `task` or `data`. `deadline_ms`
    is milliseconds since 1970."""
    if mode == "data":
        data = claim.task.data
        return Spliced((data, b"\n")) if isinstance(data, JsonText) else data_json(data).encode("ascii") + b"\n"
    return spliced(
        _task(claim)
        | {
            "run": {
                "attempt": claim.attempt,
                "idempotency_key": _idempotency_key(claim),
                "redelivered": claim.redelivered,
                "timeout_s": timeout_s,
                "grace_s": grace_s,
                "deadline_ms": deadline_ms,
                "traceparent": None if trace is None else trace.parent,
                **({} if trace is None or trace.state is None else {"tracestate": trace.state}),
                "checkpoint": claim.checkpoint,
            }
        },
        end=b"\n",
    )


def encode_cancel(claim: Claim, *, reason: str, grace_s: float) -> bytes:
    """One line that asks a handler which stays to give up its task."""
    about = {"task_id": claim.task_id, "attempt": claim.attempt, "reason": reason, "grace_s": grace_s}
    return _line({"gs": PROTOCOL_VERSION, "type": "cancel"} | about)


def encode_task_end(claim: Claim, end: Mapping[str, Any]) -> bytes | Spliced:
    """The task's line once more, for a hook: with what came of it in place of what it may use."""
    run = {"attempt": claim.attempt, "idempotency_key": _idempotency_key(claim)}
    return spliced(_task(claim) | {"run": run, "end": end}, end=b"\n")


def encode_worker_event(kind: Literal["startup", "shutdown"], *, worker: str, queue: str) -> bytes:
    """One line about the worker itself, for a hook."""
    return _line({"gs": PROTOCOL_VERSION, "type": kind, "worker": worker, "queue": queue})


def _task(claim: Claim) -> dict[str, Any]:
    task = claim.task
    return {
        "gs": PROTOCOL_VERSION,
        "type": "task",
        "task_id": task.task_id,
        "task_type": task.task_type,
        "data": task.data,
        "max_retry_count": claim.max_retry_count,
    } | {name: value for name, value in task.fields.items() if name not in _NOT_PASSED_ON}


def _line(value: Any) -> bytes:
    return data_json(value).encode("ascii") + b"\n"


def _idempotency_key(claim: Claim) -> str:
    return claim.task.idempotency_key or claim.task_id
