"""What attempts say: stored while they say it, and read by whoever watches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from gridsidecar.rules.task import Claim, NewOutput, OutputPart, Status
from gridsidecar.store import records
from gridsidecar.store.batch import Batch
from gridsidecar.store.database import Database
from gridsidecar.store.ends import LOST
from gridsidecar.store.queries import Query

LONGEST_PART = 64 * 1024  # bytes


class Piece(Struct, frozen=True):
    """Some text without a gap."""

    text: str
    left_out: int = 0  # bytes before it that are not kept


class OutputPage(Struct, frozen=True, kw_only=True):
    """What one attempt has said from some byte on, as far as it is known by now."""

    task_id: str
    attempt: int
    pieces: tuple[Piece, ...]
    next: int  # the byte to ask from next time
    running: bool
    outcome: str | None  # in the history; None where that has no end of it
    started_at: str | None
    ended_at: str | None
    worker: str | None  # its name
    worker_id: str | None
    stderr_tail: str | None
    notes: str | None
    status: Status  # of the task
    latest: int  # the task's newest attempt

    @property
    def lost(self) -> bool:
        """Its worker died: the last seconds may be missing."""
        return self.outcome == LOST

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


class Output:
    """Writes in groups of their own: a task's end must not wait for texts. Raises `StoreUnavailable`."""

    def __init__(self, database: Database, queries: dict[str, Query]) -> None:
        self._database = database
        self._queries = queries
        self._batch = Batch(database)

    async def write(self, claim: Claim, news: NewOutput) -> bool:
        """Store what a running attempt says; False when it is not ours any more. To repeat it is safe."""
        fence = records.fence(claim)
        statements = [
            (self._queries["write_output"], fence | {"start": part.start, "bytes": part.data}) for part in news.parts
        ]
        if news.outdated is not None:
            start, until = news.outdated
            gone = {"id": claim.task_id, "attempt": claim.attempt, "start": start, "before": until}
            statements.append((self._queries["forget_output"], gone))
        changed = await self._batch.write(claim.task_id, *statements)
        return all(changed[: len(news.parts)])

    async def newest(self, task_id: str) -> tuple[Status, int] | None:
        """A task's status and the number of its newest attempt, 0 before its first; None where there is no task."""
        found = await self._database.fetch(self._queries["last_attempt"], {"id": task_id})
        return (records.status(found[0]["status"]), found[0]["attempt"]) if found else None

    async def page(
        self, task_id: str, attempt: int | None = None, since: int = 0, shown: int | None = None
    ) -> OutputPage | None:
        """What an attempt (None: the newest) has said from byte `since` on; None where there is no such attempt.

        `shown`: so many characters were taken until then, from the beginning on and without a gap.
        """
        found = await self._database.fetch(self._queries["last_attempt"], {"id": task_id})
        if not found or not 1 <= (number := attempt or found[0]["attempt"]) <= found[0]["attempt"]:
            return None
        asked = {"id": task_id, "attempt": number}
        # The parts first: an end removes them when it stands in the history.
        parts = await self._database.fetch(
            self._queries["output_parts"], asked | {"since": since, "part": LONGEST_PART}
        )
        history = await self._database.fetch(self._queries["attempt_of"], asked)
        return _page(task_id, number, since, shown, found[0], parts, history[0] if history else None)


def _page(
    task_id: str,
    number: int,
    since: int,
    shown: int | None,
    task: Mapping[str, Any],
    parts: Iterable[Mapping[str, Any]],
    history: Mapping[str, Any] | None,
) -> OutputPage:
    status = records.status(task["status"])
    running = history is None and status is Status.RUNNING and number == task["attempt"]
    known: Mapping[str, Any] = history or (task if running else {})
    if history is not None and history["log_head"]:
        bytes_ = _in_history(history, since, shown)
    else:
        bytes_ = [OutputPart(row["start"], row["bytes"]) for row in parts]
    runs = list(_runs(bytes_, since))
    if running and runs:
        runs[-1] = OutputPart(runs[-1].start, _whole(runs[-1].data))
    ends = [since, *(run.start + len(run.data) for run in runs)]
    return OutputPage(
        task_id=task_id,
        attempt=number,
        pieces=tuple(
            Piece(run.data.decode("utf-8", "replace"), run.start - end)
            for run, end in zip(runs, ends, strict=False)
            if run.data
        ),
        next=ends[-1],
        running=running,
        outcome=None if history is None else history["outcome"],
        started_at=known.get("started_at"),
        ended_at=known.get("ended_at"),
        worker=known.get("worker_name") or known.get("worker") or known.get("worker_id"),
        worker_id=known.get("worker_id"),
        stderr_tail=known.get("stderr_tail"),
        notes=known.get("notes"),
        status=status,
        latest=task["attempt"],
    )


def _in_history(row: Mapping[str, Any], since: int, shown: int | None) -> list[OutputPart]:
    """The log of an ended attempt, as nearly as it can be known at which bytes it was: a replaced character stands for
    one to three of them. What follows the characters that were shown from the beginning on is known exactly. Elsewhere
    it counts as three: so some may be shown twice, and nothing is left out."""
    head, tail, dropped = row["log_head"] or "", row["log_tail"] or "", row["log_dropped"]
    if not dropped:
        head, tail = head + tail, ""
    if shown is not None and shown <= len(head):
        rest = head[shown:].encode()
        return [OutputPart(since, rest), OutputPart(since + len(rest) + dropped, tail.encode())]
    return [OutputPart(0, head.encode()), OutputPart(len(head.encode()) + dropped, tail.encode())]


def _runs(parts: Iterable[OutputPart], since: int) -> Iterator[OutputPart]:
    """What follows byte `since`, joined where there is no gap."""
    start, run = since, bytearray()
    for part in parts:
        end = start + len(run)
        if part.start > end:
            if run:
                yield OutputPart(start, bytes(run))
            start, run, end = part.start, bytearray(), part.start
        run += part.data[max(0, end - part.start) :]
    if run:
        yield OutputPart(start, bytes(run))


def _whole(data: bytes) -> bytes:
    """Without the beginning of a character whose rest is still to come."""
    for size in range(1, min(4, len(data) + 1)):
        byte = data[-size]
        if byte & 0xC0 == 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-size] if needed > size else data
        if byte < 0x80:
            break
    return data
