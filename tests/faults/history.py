"""What everybody saw of a run with faults, and whether that keeps the promises.

The producer notes what it sent and what the broker confirmed, handlers note their starts and ends, the receiver of
callbacks notes what it accepted, and the database has the rest. `check` compares them, invariant by invariant:

    I1  what the broker confirmed has ended, or is with the dead letters
    I2  nothing ended that nobody sent
    I3  attempts only grow; each task has one end, and its history agrees with it
    I4  no two runs of a task overlap, but for a worker that was paused or cut off beyond its lease
    I5  each end that was to be told was told, with one id, after it was stored, and as it is stored
    I6  all is quiet at last: no message, nothing that waits or runs, no callback owed, no process left
    I7  a retry waits for its delay; failures never exceed what is allowed
    I8  SIGTERM ends a worker with exit code 0, and no row still says that it runs there
    I15 what was cancelled stays so until somebody wants it run again, which is told anew
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from tests.support.journal import Journal, Run
from tests.support.place import ENDED, Place
from tests.support.web import Connection, Request, Web, head

RETRY_TOLERANCE = 0.05  # seconds between a database's clock and ours, on one machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A task that a producer sent, and what is to come of it."""

    task_id: str
    end: str | None = None  # the only right end, where there is one
    told: bool = False  # a callback is owed
    retries: int = 0
    retry_delay: float = 0.0  # seconds


@dataclass(frozen=True, slots=True)
class Told:
    """A callback that its receiver accepted."""

    task_id: str
    status: str
    callback_id: str
    at: float  # wall clock


@dataclass(frozen=True, slots=True)
class Absence:
    """A worker was paused or cut off for longer than its lease: others may run what it runs."""

    journal: Path
    since: float  # wall clock
    until: float  # … until it has noticed what others took from it


@dataclass
class History:
    """Everything that was seen; `journals` has one for each worker, or one for all."""

    place: Place
    journals: list[Journal]
    sent: dict[str, Sent] = field(default_factory=dict)
    confirmed: set[str] = field(default_factory=set)
    told: list[Told] = field(default_factory=list)
    absences: list[Absence] = field(default_factory=list)
    dead_letters: set[str] = field(default_factory=set)
    faults: Counter[str] = field(default_factory=Counter)
    cancels: set[str] = field(default_factory=set)  # somebody wanted them cancelled, and was heard or not
    surely_cancelled: dict[str, int] = field(default_factory=dict)  # that was the reply, after so many wishes of reruns
    reruns: Counter[str] = field(default_factory=Counter)  # somebody wanted them run again, and was heard or not

    @classmethod
    def of(cls, place: Place, *sent: Sent) -> History:
        """One journal, and tasks that were sent and confirmed."""
        return cls(place, [place.journal], {task.task_id: task for task in sent}, {task.task_id for task in sent})

    def listen(self, web: Web, status: int = 200) -> None:
        """Note what this receiver is told; with a status of 2xx it has accepted it."""

        async def answer(request: Request, connection: Connection) -> None:
            if 200 <= status < 300:
                body = json.loads(request.body)
                self.told.append(Told(body["task_id"], body["status"], request.headers["webhook-id"], time.time()))
            await connection.send(head(status, {"Content-Length": "0"}))

        web.answer = answer

    def runs(self) -> list[tuple[Path, Run]]:
        return [(journal.path, run) for journal in self.journals for run in journal.runs()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The table of a run, and every broken promise in words."""

    attempted: int
    confirmed: int
    succeeded: int
    failed: int
    cancelled: int
    lost: int  # confirmed, and neither ended nor with the dead letters
    duplicated: int  # tasks whose handler came to its end more often than the history counts
    overlapping: int  # pairs of runs of one task at the same time
    excused: int  # the same, while the first one's worker was paused or cut off
    unsent: int  # ends that were to be told and were not
    broken: tuple[str, ...]

    def table(self) -> str:
        """For people."""
        columns = (
            "attempted confirmed succeeded failed cancelled lost duplicated overlapping excused unsent".split()  # noqa: SIM905
        )
        values = [str(getattr(self, column)) for column in columns]
        return f"| {' | '.join(columns)} |\n|{'---:|' * len(columns)}\n| {' | '.join(values)} |"


def check(history: History) -> Verdict:
    """Judge a run that is over: all faults healed, all work done, all workers gone."""
    rows = history.place.rows()
    attempts = _attempts(history.place)
    lost = sorted(history.confirmed - _ended(rows) - history.dead_letters)
    overlaps = list(_overlaps(history))
    open_overlaps = [words for words, excused in overlaps if not excused]
    unsent = list(_unsent(history, rows))
    statuses = Counter(row["status"] for row in rows.values())
    unknown = rows.keys() - history.sent.keys() - history.cancels
    broken = [
        *(f"I1 {task_id} was confirmed and is {_words(rows.get(task_id))}" for task_id in lost),
        *(f"I2 {task_id} has a row and nobody sent it" for task_id in sorted(unknown)),
        *_wrong_cancels(history, rows),
        *_wrong_ends(history, rows),
        *_wrong_histories(rows, attempts),
        *(f"I4 {words}" for words in open_overlaps),
        *(f"I5 {words}" for words in unsent),
        *_wrong_callbacks(history, rows),
        *_noise(history, rows),
        *_wrong_retries(history, rows, attempts),
    ]
    return Verdict(
        attempted=len(history.sent),
        confirmed=len(history.confirmed),
        succeeded=statuses["success"],
        failed=statuses["failed"],
        cancelled=statuses["cancelled"],
        lost=len(lost),
        duplicated=_duplicated(history, attempts),
        overlapping=len(open_overlaps),
        excused=len(overlaps) - len(open_overlaps),
        unsent=len(unsent),
        broken=tuple(broken),
    )


def assert_kept(history: History) -> Verdict:
    """Fail with every broken promise."""
    verdict = check(history)
    assert not verdict.broken, "\n".join(["broken promises:", *verdict.broken[:50], verdict.table()])
    return verdict


Rows = Mapping[str, Mapping[str, Any]]
Attempts = Mapping[str, list[dict[str, Any]]]


def _attempts(place: Place) -> Attempts:
    by_task: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for attempt in place.history():
        by_task[attempt["task_id"]].append(attempt)
    return by_task


def _ended(rows: Rows) -> set[str]:
    return {task_id for task_id, row in rows.items() if row["status"] in ENDED}


def _words(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "nowhere"
    return f"{row['status']} at attempt {row['attempt']}, worker {row['worker_id']}, handed off {row['handed_off']}"


def _wrong_ends(history: History, rows: Rows) -> Iterator[str]:
    for task_id, sent in history.sent.items():
        row = rows.get(task_id)
        stopped = row and row["status"] == "cancelled" and task_id in history.cancels
        if sent.end and row and row["status"] in ENDED and row["status"] != sent.end and not stopped:
            yield f"I3 {task_id} was to end as {sent.end} and is {row['status']}: {row['error_message']}"


def _wrong_cancels(history: History, rows: Rows) -> Iterator[str]:
    for task_id, reruns in history.surely_cancelled.items():
        if history.reruns[task_id] == reruns and (row := rows.get(task_id, {})).get("status") != "cancelled":
            yield f"I15 {task_id} was cancelled, nobody wanted it run again, and it is {_words(row or None)}"


def _wrong_histories(rows: Rows, attempts: Attempts) -> Iterator[str]:
    for task_id, entries in attempts.items():
        numbers = [entry["attempt"] for entry in entries]
        if numbers != sorted(set(numbers)) or numbers[-1] > rows[task_id]["attempt"]:
            yield f"I3 {task_id}: attempts {numbers}, the row says {rows[task_id]['attempt']}"
        outcomes = [entry["outcome"] for entry in entries]
        if "success" in outcomes[:-1] or (outcomes[-1] == "success") != (rows[task_id]["status"] == "success"):
            yield f"I3 {task_id} is {rows[task_id]['status']} with a history of {outcomes}"


def _overlaps(history: History) -> Iterator[tuple[str, bool]]:
    """Each run that began before an earlier one of its task was over, and whether that may be."""
    by_task: defaultdict[str, list[tuple[Path, Run]]] = defaultdict(list)
    for journal, run in history.runs():
        by_task[run.task_id].append((journal, run))
    for task_id, runs in by_task.items():
        runs.sort(key=lambda pair: pair[1].started)
        for (earlier, first), (later, second) in combinations(runs, 2):
            if first.ended is not None and second.started >= first.ended:
                continue
            # A frozen pod's process may note its start only when the pod goes on.
            journal = earlier if first.attempt <= second.attempt else later
            excused = any(
                absence.journal == journal and absence.since <= second.started <= absence.until
                for absence in history.absences
            )
            ended = "never" if first.ended is None else f"{first.ended - first.started:.3f} s later"
            words = (
                f"{task_id}: attempt {first.attempt} (pid {first.pid}, ended {ended}) was not over when "
                f"attempt {second.attempt} (pid {second.pid}) began {second.started - first.started:.3f} s after it"
            )
            yield words, excused


def _unsent(history: History, rows: Rows) -> Iterator[str]:
    told = {(told.task_id, told.status) for told in history.told}
    for task_id, sent in history.sent.items():
        if (
            sent.told
            and task_id in rows
            and rows[task_id]["status"] in ENDED
            and ((task_id, rows[task_id]["status"]) not in told)
        ):
            yield f"{task_id} ended as {rows[task_id]['status']} and nobody was told"


def _wrong_callbacks(history: History, rows: Rows) -> Iterator[str]:
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for told in history.told:
        ids[told.task_id].add(told.callback_id)
        row = rows.get(told.task_id)
        if row is None or (row["status"] != told.status and not history.reruns[told.task_id]):
            yield f"I5 {told.task_id} was told as {told.status} and is {_words(row)}"
        elif told.at < _seconds(row["completed_at"]) - RETRY_TOLERANCE and not history.reruns[told.task_id]:
            yield f"I5 {told.task_id} was told before its end was stored"
    for task_id, several in ids.items():
        if len(several) > 1 + history.reruns[task_id]:
            yield f"I5 {task_id} was told under several ids: {sorted(several)}"


def _noise(history: History, rows: Rows) -> Iterator[str]:
    if left := history.place.left():
        yield f"I6 {left} messages are left in the work queue or its delay queues"
    for task_id, row in rows.items():
        if row["status"] not in ENDED:
            yield f"{'I8' if row['status'] == 'running' else 'I6'} {task_id} is {_words(row)}"
    for callback in history.place.callbacks():
        if callback["next_try_at"] is not None:
            yield f"I6 a callback of {callback['task_id']} is still owed: {callback['last_error']}"
    for journal in history.journals:
        for pid in left_running(journal):
            yield f"I6 process {pid} is left"


def left_running(journal: Journal) -> Iterator[int]:
    """Processes of handlers that write this journal."""
    mark = f"JOURNAL={journal.path}\0".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                yield int(process.name)
        except OSError:
            continue


def _wrong_retries(history: History, rows: Rows, attempts: Attempts) -> Iterator[str]:
    started = {(run.task_id, run.attempt): run.started for _, run in history.runs()}
    for task_id, entries in attempts.items():
        sent = history.sent.get(task_id, Sent(task_id=task_id))
        failures = [entry for entry in entries if entry["outcome"] == "failed"]
        if len(failures) > (sent.retries + 1) * (1 + history.reruns[task_id]):
            yield f"I7 {task_id} failed {len(failures)} times with {sent.retries} retries"
        for failure in failures:
            again = started.get((task_id, failure["attempt"] + 1))
            gap = None if again is None else again - _seconds(failure["ended_at"])
            if gap is not None and not history.reruns[task_id] and gap < sent.retry_delay - RETRY_TOLERANCE:
                yield f"I7 {task_id} was retried after {gap:.3f} s instead of {sent.retry_delay} s"


def _duplicated(history: History, attempts: Attempts) -> int:
    """Work done and not counted, because the worker died between its end and the note of it."""
    finished = Counter(run.task_id for _, run in history.runs() if run.finished)
    counted = {
        task_id: sum(entry["outcome"] in ("success", "failed") for entry in entries)
        for task_id, entries in attempts.items()
    }
    return sum(count > counted.get(task_id, 0) for task_id, count in finished.items())


def _seconds(moment: datetime | str) -> float:
    """A column's time, UTC, as seconds since 1970."""
    parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return parsed.replace(tzinfo=UTC).timestamp()
