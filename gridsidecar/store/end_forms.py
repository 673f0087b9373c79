"""An attempt's end as it is written: whole, or with less and less of it where the database will not store it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from gridsidecar.rules.task import Claim, ErrorType, Progress, Report, Settle, Status, Transition
from gridsidecar.store.callback_forms import CallbackForm
from gridsidecar.store.records import ascii_only

LONGEST_PROBLEM = 1000  # characters
PLAIN_ERROR = 500  # characters
PLAIN_TYPE = 100


class StoredEnd(Struct, frozen=True):
    """What one write says of an attempt's end."""

    transition: Transition
    report: Report
    progress: Progress
    callback: CallbackForm
    in_history: bool


class Form(Struct, frozen=True, kw_only=True):
    """What is written of an end; the rest is left out."""

    log: bool = True  # with the traceback and the notes
    details: bool = True  # the progress message, the checkpoint, the error as it is; else short and ASCII
    in_history: bool = True
    callback: CallbackForm = CallbackForm.WHOLE  # NOTHING: nor a letter
    result: bool = True  # a success without its result would be none: it is a failure that says so

    def of(self, transition: Transition, report: Report, progress: Progress, problem: str) -> StoredEnd:
        """The end in this form; `problem` is why the forms before it were rejected."""
        if not self.result:
            transition = _unstorable(transition, problem)
        if not self.log:
            transition = replace(transition, traceback=None)
            report = _without_texts(report, problem)
        if not self.details:
            transition = _plain(transition)
            progress = Progress(progress.percent)
        return StoredEnd(transition, report, progress, self.callback, self.in_history)

    @property
    def tables(self) -> tuple[bool, CallbackForm]:
        """Forms that are alike in this write into the same ones."""
        return self.in_history, self.callback

    @property
    def left_out(self) -> str:
        """In words, for people."""
        kept = {
            "log and traceback": self.log,
            "details": self.details,
            "history": self.in_history,
            "callback": self.callback is CallbackForm.WHOLE,
            "result": self.result,
        }
        return ", ".join(words for words, there in kept.items() if not there)


WHOLE = Form()
_PLAIN = Form(log=False, details=False)
# What a database will not store may stand in any of the tables. So what is written beside the task's row, the callback
# and the history, is left out one by one, then both; and all that once more without the result.
_LESSER = (
    Form(log=False),
    *(
        replace(_PLAIN, result=result, in_history=in_history, callback=callback)
        for result in (True, False)
        for in_history, callback in (
            (True, CallbackForm.WHOLE),
            (True, CallbackForm.GIVEN_UP),
            (False, CallbackForm.WHOLE),
            (False, CallbackForm.NOTHING),  # the status and a note
        )
    ),
)


def forms(transition: Transition, *, owes: bool) -> Iterator[Form]:
    """In the order in which they are tried, each with less than the one before: first what is only told goes, then what
    others are owed, and the result last. `owes`: something may be owed by its end."""
    yield WHOLE  # nearly always the only one
    may_owe = owes and transition.status.terminal
    for form in _LESSER:
        if (
            (form.result or transition.status is Status.SUCCESS)
            and (may_owe or form.callback is not CallbackForm.GIVEN_UP)
            and (may_owe or form.in_history or form.callback is CallbackForm.NOTHING)
        ):
            yield form


def _without_texts(report: Report, problem: str) -> Report:
    """The figures, and why there is no more."""
    note = f"its log is left out, which the database would not store: {ascii_only(problem, PLAIN_ERROR)}"
    return replace(report, log_head="", log_tail="", stderr_tail="", notes=(note,))


def _plain(transition: Transition) -> Transition:
    """Texts of which no database refuses a character."""
    return replace(
        transition,
        error=transition.error and ascii_only(transition.error, PLAIN_ERROR),
        error_type=transition.error_type and ascii_only(transition.error_type, PLAIN_TYPE),
        last_error_type=transition.last_error_type and ascii_only(transition.last_error_type, PLAIN_TYPE),
    )


def _unstorable(transition: Transition, problem: str) -> Transition:
    """The database will not take what the handler sent: the task fails for good, and says why."""
    return replace(
        transition,
        status=Status.FAILED,
        settle=Settle.ACK,
        outcome="failed",
        result=None,
        error=ascii_only(f"the database cannot store what the handler sent: {problem}", LONGEST_PROBLEM),
        error_type=ErrorType.HANDLER_ERROR,
        beats_cancel=False,
    )


def put_back(claim: Claim, problem: str, delay: float) -> Transition:
    """For the row of a task whose end is rejected in every form: it waits, as if the attempt had not been."""
    return Transition(
        status=Status.PENDING,
        settle=Settle.DELAY,
        outcome="put_back",
        delay=delay,
        retry_count=claim.retry_count,
        crashes=claim.crashes,
        interruptions=claim.interruptions,
        error=ascii_only(f"the database refuses the end of attempt {claim.attempt}: {problem}", LONGEST_PROBLEM),
        beats_cancel=True,  # a request to cancel stays in the row, and is heard when the task comes back
    )
