"""Letters owed: the message of a task that failed for good is to go to the dead letters too, once for each end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from uuid import uuid4

from msgspec import Struct

from gridsidecar.rules.reception import Close
from gridsidecar.rules.task import ErrorType, Status, Transition
from gridsidecar.store.callback_forms import CallbackForm
from gridsidecar.store.database import Statement
from gridsidecar.store.outbox import LETTER
from gridsidecar.store.queries import Query

REASON_LIMIT = 1000  # characters of an error: it travels in a header


class FailureCause(Struct, frozen=True):
    """Why the task of a letter failed, as it is stored until the letter is sent."""

    error: str | None
    error_type: str | None
    last_error_type: str | None = None

    def stored(self) -> str:
        """JSON in ASCII: no database refuses a character of it."""
        return json.dumps([self.error, self.error_type, self.last_error_type])

    @classmethod
    def read(cls, body: bytes) -> FailureCause:
        """ValueError for what is none."""
        match json.loads(body):
            case [str() | None as error, str() | None as error_type, str() | None as last_error_type]:
                return cls(error, error_type, last_error_type)
        raise ValueError("what is stored of it is no cause of a failure")

    def __str__(self) -> str:
        kind = self.error_type or "Error"
        if self.last_error_type:
            kind += f" ({self.last_error_type})"
        return f"{kind}: {self.error or 'no error text'}"


class OwedLetters(Struct, frozen=True):
    """Whether, and how, letters are owed by the tasks of one queue."""

    queries: Mapping[str, Query]
    queue: str
    dead_letter_failed: bool = False

    def owed_by(self, end: Transition | Close) -> bool:
        """Whether a task that ends so owes one. A message that was refused is there already."""
        refused = isinstance(end, Close) and end.error_type == ErrorType.VALIDATION
        return self.dead_letter_failed and end.status is Status.FAILED and not refused

    def owe(
        self, task_id: str, attempt: int, end: Transition | Close, form: CallbackForm = CallbackForm.WHOLE
    ) -> tuple[Statement, ...]:
        """The statement that writes the letter of an end, to run after the end in the same transaction; none where none
        is owed. It writes nothing unless the row has failed in this attempt, and has a message of its own."""
        if not self.owed_by(end) or form is CallbackForm.NOTHING:
            return ()
        params = {
            "id": task_id,
            "attempt": attempt,
            "status": end.status.value,
            "letter_id": f"{LETTER}_{uuid4().hex}",
            "queue": self.queue,
            "reason": _cause(end).stored(),
        }
        return ((self.queries["owe_letter"], params),)


def _cause(end: Transition | Close) -> FailureCause:
    last = end.last_error_type if isinstance(end, Transition) else None
    return FailureCause(
        *(None if text is None else str(text)[:REASON_LIMIT] for text in (end.error, end.error_type, last))
    )
