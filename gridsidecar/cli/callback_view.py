"""One callback in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gridsidecar.cli.screen import clean
from gridsidecar.cli.times import local_time
from gridsidecar.config.secrets import masked_text

STATES = {"owed": "yellow", "dead": "red", "delivered": "green"}


def called(row: Mapping[str, Any]) -> str:
    """What it is, for people: what a failed task owes to the dead letters is kept among the callbacks."""
    return "dead letter" if row["kind"] == "letter" else "callback"


def target(row: Mapping[str, Any]) -> str:
    """Where it goes, without a password. (A callback by RabbitMQ does not look at a URL.)"""
    if row["kind"] == "letter":
        return "the dead letters"
    return clean(masked_text(row["url"])) if row["url"] and row["kind"] == "http" else str(row["kind"])


def callback_words(row: Mapping[str, Any]) -> str:
    """State, tries, and what went wrong last, on one line."""
    state = row["state"]
    tries = "not tried yet" if not row["tries"] else f"{row['tries']} {'try' if row['tries'] == 1 else 'tries'}"
    again = f", next at {local_time(row['next_try_at'])}" if state == "owed" and row["tries"] else ""
    error = f": {clean(row['last_error'])}" if row["last_error"] and state != "delivered" else ""
    return f"{state}, {tries}{again}, to {target(row)}{error}"
