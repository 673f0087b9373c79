"""How an attempt's end gets into the database, whatever its texts are."""

from __future__ import annotations

from gridsidecar import telemetry
from gridsidecar.clock import Clock
from gridsidecar.rules import lifecycle
from gridsidecar.rules.lifecycle import UnmatchedWrite
from gridsidecar.rules.task import Claim, Progress, Report, Transition
from gridsidecar.store import callback_forms, end_forms, outbox, records
from gridsidecar.store.batch import Batch
from gridsidecar.store.callback_forms import CallbackForm, OwedForm
from gridsidecar.store.database import Database, FalseAlarm, RowLocked, RowRejected, Statement
from gridsidecar.store.end_forms import Form, StoredEnd
from gridsidecar.store.letters import OwedLetters
from gridsidecar.store.queries import Query

LOST = "lost"  # the outcome of an attempt that was taken from its worker
CHECK_GRACE = 60.0  # seconds after its time until maintenance looks for a task whose delayed message did not come


class Ends:
    """Writes ends, each fenced by id, attempt and worker. Raises `StoreUnavailable` while the database is away."""

    def __init__(
        self,
        database: Database,
        queries: dict[str, Query],
        queue: str,
        clock: Clock,
        batch: Batch,
        letters: OwedLetters,
    ) -> None:
        self._letters = letters
        self._database = database
        self._queries = queries
        self._queue = queue
        self._clock = clock
        self._batch = batch

    async def commit(
        self, claim: Claim, transition: Transition, report: Report, progress: Progress, *, output_stored: bool = False
    ) -> Transition | None:
        """Write an attempt's end; what now stands in the row. `output_stored`: parts of its output are stored already.

        That is `transition`, or what of it the database would store, or the cancellation that came in meanwhile, or
        None when a newer claim owns the task. Raises `RowRejected` where not even its status can be stored.
        """
        transition, written = await self._write_storable(claim, transition, report, progress, output_stored)
        if written:
            return transition
        match await self._resolve_unmatched_write(claim):
            case UnmatchedWrite.WRITTEN:
                return transition
            case UnmatchedWrite.CANCEL:
                return await self.commit(
                    claim, lifecycle.cancelled(claim), report, progress, output_stored=output_stored
                )
            case UnmatchedWrite.LOST:
                return None

    async def put_back(self, claim: Claim, problem: str, delay: float) -> bool:
        """Let a task whose end was rejected wait so many seconds; False when it is not ours any more."""
        params = records.end_columns(claim, end_forms.put_back(claim, problem, delay), Progress(), CHECK_GRACE)
        (changed,) = await self._batch.write(claim.task_id, (self._queries["commit"], params))
        return bool(changed) or await self._resolve_unmatched_write(claim) is not UnmatchedWrite.LOST

    async def set_aside(self, task_id: str, attempt: int) -> None:
        """Nobody is to bring this task back by itself: its message is with the dead letters."""
        await self._batch.write(task_id, (self._queries["set_aside"], {"id": task_id, "attempt": attempt}))

    async def _write_storable(
        self, claim: Claim, transition: Transition, report: Report, progress: Progress, output_stored: bool
    ) -> tuple[Transition, bool]:
        """What was written, and whether the row was ours. Most ends are written whole, together with others."""
        first: RowRejected | None = None
        last: RowRejected | None = None
        owes = claim.task.callback.wanted or self._letters.dead_letter_failed
        rejected: set[tuple[bool, CallbackForm]] = set()
        for form in end_forms.forms(transition, owes=owes):
            if isinstance(last, FalseAlarm) and form.tables in rejected:
                continue
            rejected.add(form.tables)
            try:
                end = form.of(transition, report, progress, str(last or ""))
                statements = self._statements(claim, end, str(last or ""), output_stored)
                counts = await self._batch.write(claim.task_id, *statements)
            except RowLocked:  # no form is at fault
                raise
            except RowRejected as error:
                first, last = first or error, error
                continue
            if first is not None and counts[0]:
                _tell_left_out(claim, form, str(first), letter=self._letters.owed_by(end.transition))
            return end.transition, bool(counts[0])
        assert last is not None
        raise last

    def _statements(self, claim: Claim, end: StoredEnd, problem: str, output_stored: bool) -> tuple[Statement, ...]:
        row = records.end_columns(claim, end.transition, end.progress, CHECK_GRACE, end.report.duration_s)
        history = records.attempt_columns(claim, end.transition, end.report)
        return (
            (self._queries["commit"], row),
            *([(self._queries["attempt_ended"], history)] if end.in_history else ()),
            # The parts of a log that is left out are all that there is of it.
            *(
                [(self._queries["forget_output_in_history"], records.fence(claim))]
                if output_stored and end.in_history and history["log_head"]
                else ()
            ),
            *(self._owed(claim, end, problem) if claim.task.callback.wanted else ()),
            *self._letters.owe(claim.task_id, claim.attempt, end.transition, end.callback),
        )

    def _owed(self, claim: Claim, end: StoredEnd, problem: str) -> tuple[Statement, ...]:
        return outbox.owe(
            self._queries,
            self._queue,
            claim.task.callback,
            claim.task_id,
            claim.attempt,
            end.transition,
            self._clock.now(),
            OwedForm(end.callback, problem),
        )

    async def _resolve_unmatched_write(self, claim: Claim) -> UnmatchedWrite:
        """Why a write of ours changed nothing."""
        rows = await self._database.fetch(self._queries["row"], {"id": claim.task_id})
        row = records.row(rows[0]) if rows else None
        return lifecycle.resolve_unmatched_write(row, claim, taken=await self._was_taken(claim))

    async def _was_taken(self, claim: Claim) -> bool:
        """Read after the row: whoever takes an attempt away writes both in one transaction."""
        asked = {"id": claim.task_id, "attempt": claim.attempt}
        rows = await self._database.fetch(self._queries["outcome_of"], asked)
        return bool(rows) and rows[0]["outcome"] == LOST


def _tell_left_out(claim: Claim, form: Form, problem: str, *, letter: bool) -> None:
    told = {"task_id": claim.task_id, "attempt": claim.attempt}
    telemetry.warning("an end was stored without all of it", **told, left_out=form.left_out, reason=problem)
    if form.callback is not CallbackForm.WHOLE and claim.task.callback.wanted:
        telemetry.error("callback given up", task_id=claim.task_id, error=f"{callback_forms.NOT_STORED}: {problem}")
    if form.callback is CallbackForm.NOTHING and letter:
        telemetry.error("dead letter given up", task_id=claim.task_id, error=f"{callback_forms.NOT_STORED}: {problem}")
