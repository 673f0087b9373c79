"""The callback of an end as it is written: whole, or less of it where the database will not store it.

An end without an attempt is tried with less and less of its callback here; that of an attempt, of which more may be
left out, by `end_forms`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum

from msgspec import Struct

from gridsidecar import telemetry
from gridsidecar.store.database import RowLocked, RowRejected, T

NOT_STORED = "the database would not store it"


class CallbackForm(StrEnum):
    """What is written of the callback of an end."""

    WHOLE = "whole"
    GIVEN_UP = "given up"  # without its body, for people to see
    NOTHING = "nothing"


class OwedForm(Struct, frozen=True):
    """How the callback of an end is written, and why not better."""

    form: CallbackForm = CallbackForm.WHOLE
    problem: str = ""


WHOLE = OwedForm()


async def until_storable(task_id: str, end: Callable[[OwedForm], Awaitable[T]]) -> T:
    """Run a transaction that may end a task without an attempt. Where the database will not store its callback, that
    is given up, the end is not."""
    problem = ""
    for form in CallbackForm:
        try:
            ended = await end(OwedForm(form, problem))
        except RowLocked:  # its callback is not at fault
            raise
        except RowRejected as error:
            problem = problem or str(error)
            last = error
        else:
            if problem:
                telemetry.error("callback given up", task_id=task_id, error=f"{NOT_STORED}: {problem}")
            return ended
    raise last
