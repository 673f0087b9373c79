"""An attempt's end as it is written: whole, or with less and less of it where the database will not store it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from gridsidecar.rules.task import Claim, ErrorType, Progress, Report, Settle, Status, Transition
from gridsidecar.store.outbox import Owing
from gridsidecar.store.records import ascii_only

LONGEST_PROBLEM = 1000  # characters
PLAIN_ERROR = 500  # characters
PLAIN_TYPE = 100


class StoredEnd(Struct, frozen=True):
    """What one write says of an attempt's end."""

    transition: Transition
    report: Report
    progress: Progress
    owing: Owing
    in_history: bool


class Form(Struct, frozen=True, kw_only=True):
    """What is written of an end; the rest is left out."""

    log: bool = True  # with the traceback and the notes
    details: bool = True  # the progress message, the checkpoint, the error as it is; else short and ASCII
    in_history: bool = True
    owing: Owing = Owing.WHOLE
    result: bool = True  # a success without its result would be none: it is a failure that says so

    def of(self, transition: Transition, report: Report, progress: Progress, problem: str) -> StoredEnd:
        """The end in this form; `problem` is why the forms before it were refused."""
        if not self.result:
            transition = _unstorable(transition, problem)
        if not self.log:
            transition = replace(transition, traceback=None)
            report = _without_texts(report, problem)
        if not self.details:
            transition = _plain(transition)
            progress = Progress(progress.percent)
        return StoredEnd(transition, report, progress, self.owing, self.in_history)

    @property
    def tables(self) -> tuple[bool, Owing]:
        """Forms that are alike in this write into the same ones."""
        return self.in_history, self.owing

    @property
    def left_out(self) -> str:
        """In words, for people."""
        kept = {
            "log and traceback": self.log,
            "details": self.details,
            "history": self.in_history,
            "callback": self.owing is Owing.WHOLE,
            "result": self.result,
        }
        return ", ".join(words for words, there in kept.items() if not there)


WHOLE = Form()
_PLAIN = Form(log=False, details=False)
_LESSER = (
    Form(log=False),
    *(
        replace(_PLAIN, result=result, in_history=in_history, owing=owing)
        for result in (True, False)
        for in_history, owing in (
            (True, Owing.WHOLE),
            (True, Owing.GIVEN_UP),
            (False, Owing.WHOLE),
            (False, Owing.NOTHING),  # the status and a note
        )
    ),
)


def forms(transition: Transition, *, owes: bool) -> Iterator[Form]:
    """In the order in which they are tried, each with less than the one before: first what is only told goes, then what
    others are owed, and the result last. `owes`: something may be owed by its end."""
    yield WHOLE  # nearly always the only one
    owing = owes and transition.status.terminal
    for form in _LESSER:
        if (
            (form.result or transition.status is Status.SUCCESS)
            and (owing or form.owing is not Owing.GIVEN_UP)
            and (owing or form.in_history or form.owing is Owing.NOTHING)
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
    """For the row of a task whose end is refused in every form: it waits, as if the attempt had not been."""
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
