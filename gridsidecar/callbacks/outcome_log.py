"""What became of a try, in the log: of a callback, or of a letter to the dead letters."""

from __future__ import annotations

from typing import Any

from gridsidecar import telemetry
from gridsidecar.store import LETTER, OwedCallback


def delivered(callback: OwedCallback) -> None:
    if callback.kind == LETTER:
        telemetry.counts["dead letters"] += 1
        telemetry.info("failed task sent to the dead letters", **_of_letter(callback))
    else:
        telemetry.info("callback delivered", **_of(callback))


def failed(callback: OwedCallback, error: str, retry_in: float) -> None:
    seconds = round(retry_in, 1)
    if callback.kind == LETTER:
        telemetry.warning(
            "dead letter refused, it is tried again", **_of_letter(callback), error=error, retry_in=seconds
        )
    else:
        telemetry.warning("callback failed, it is tried again", **_of(callback), error=error, retry_in=seconds)


def not_sent(callback: OwedCallback, error: str) -> None:
    if callback.kind == LETTER:
        telemetry.warning("dead letter not sent, it is tried again", **_of_letter(callback), error=error)
    else:
        telemetry.warning("callback not sent, it is tried again", **_of(callback), error=error)


def given_up(callback: OwedCallback, error: str, **fields: int) -> None:
    if callback.kind == LETTER:
        telemetry.error("dead letter given up", **_of_letter(callback), error=error, **fields)
    else:
        telemetry.error("callback given up", **_of(callback), error=error, **fields)


def _of(callback: OwedCallback) -> dict[str, Any]:
    return {"task_id": callback.task_id, "callback_id": callback.id, "target": _target(callback)}


def _of_letter(callback: OwedCallback) -> dict[str, Any]:
    return {"task_id": callback.task_id, "letter_id": callback.id}


def _target(callback: OwedCallback) -> str:
    """Where it goes, without what may be secret in a URL."""
    if callback.kind != "http" or callback.url is None:
        return callback.kind
    return callback.url.partition("?")[0].rpartition("@")[2]
