"""One callback as an object for programs, and in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gridsidecar.cli.parts import place_of
from gridsidecar.cli.screen import clean
from gridsidecar.cli.times import in_utc, local_time

STATES = {"owed": "yellow", "dead": "red", "delivered": "green"}


def state_of(row: Mapping[str, Any]) -> str:
    """`owed` while it is still to be sent, `dead` once it was given up."""
    if row["dead"]:
        return "dead"
    return "delivered" if row["next_try_at"] is None else "owed"


def callback_object(row: Mapping[str, Any]) -> dict[str, Any]:
    """The callback for `--json`, without its body."""
    shown = {name: value for name, value in in_utc(row).items() if name not in ("dead", "body")}
    if row["kind"] == "letter":  # its rows count downwards, beside those of callbacks
        shown["rerun"] = -1 - shown["rerun"]
    return {"id": row["id"], "task_id": row["task_id"], "state": state_of(row), **shown}


def called(row: Mapping[str, Any]) -> str:
    """What it is, for people: what a failed task owes to the dead letters is kept among the callbacks."""
    return "dead letter" if row["kind"] == "letter" else "callback"


def target(row: Mapping[str, Any]) -> str:
    """Where it goes, without a password. (A callback by RabbitMQ does not look at a URL.)"""
    if row["kind"] == "letter":
        return "the dead letters"
    return clean(place_of(row["url"])) if row["url"] and row["kind"] == "http" else str(row["kind"])


def callback_words(row: Mapping[str, Any]) -> str:
    """State, tries, and what went wrong last, on one line."""
    state = state_of(row)
    tries = "not tried yet" if not row["tries"] else f"{row['tries']} {'try' if row['tries'] == 1 else 'tries'}"
    again = f", next at {local_time(row['next_try_at'])}" if state == "owed" and row["tries"] else ""
    error = f": {clean(row['last_error'])}" if row["last_error"] and state != "delivered" else ""
    return f"{state}, {tries}{again}, to {target(row)}{error}"
