"""One callback in words for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gridsidecar.cli.terminal import clean, cut
from gridsidecar.cli.times import local_time
from gridsidecar.config.secrets import masked_text
from gridsidecar.language import counted
from gridsidecar.language.quoting import theirs

if TYPE_CHECKING:
    from gridsidecar.views import CallbackView

BODY_SHOWN = 2000  # characters
STATES = {"owed": "yellow", "dead": "red", "delivered": "green"}


def called(row: CallbackView) -> str:
    """What it is, for people: what a failed task owes to the dead letters is kept among the callbacks."""
    return "dead letter" if row["kind"] == "letter" else "callback"


def target(row: CallbackView) -> str:
    """Where it goes, without a password, for `translated`. (A callback by RabbitMQ does not look at a URL.)"""
    if row["kind"] == "letter":
        return "the dead letters"
    return theirs(clean(masked_text(row["url"]))) if row["url"] and row["kind"] == "http" else str(row["kind"])


def facts(row: CallbackView) -> Iterator[tuple[str, str]]:
    """Label and text of what is worth a line; every text is safe to show."""
    yield "task", theirs(clean(row["task_id"]))
    yield "id", clean(row["id"])
    yield called(row), callback_words(row)
    yield "created", local_time(row["created_at"])
    if row["delivered_at"]:
        yield "delivered", local_time(row["delivered_at"])
    if (body := row.get("body")) is not None:
        yield "body", _shown(body)


def _shown(body: str) -> str:
    whole = clean(body[: BODY_SHOWN + 1])
    shown = theirs(cut(whole, BODY_SHOWN))
    return f"{shown} ({len(body.encode()):,} bytes; see --json)" if len(whole) > BODY_SHOWN else shown


def callback_words(row: CallbackView) -> str:
    """State, tries, and what went wrong last, on one line."""
    state = row["state"]
    tries = "not tried yet" if not row["tries"] else counted(row["tries"], "try", "tries")
    next_try = row["next_try_at"] if state == "owed" and row["tries"] else None
    again = f", next at {local_time(next_try)}" if next_try else ""
    error = f": {clean(row['last_error'])}" if row["last_error"] and state != "delivered" else ""
    return f"{state}, {tries}{again}, to {target(row)}{error}"
