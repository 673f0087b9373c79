"""Two workers, a few tasks, any accident in any order: a task ends once, attempts only rise, nothing stale lands."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from gridsidecar.rules.reception import AckOnly, Begin, Claimant, Close, Delay, Insert, Reattach, Resume
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import (
    Callback,
    Cancelled,
    CannotStart,
    Claim,
    Failed,
    Interrupted,
    Outcome,
    Progress,
    Report,
    Status,
    Succeeded,
    Task,
)
from gridsidecar.store import Store
from tests.store.direct import TASKS, Direct, Row
from tests.store.workers import cancel, decided, open_store, retry_by_hand, task

T = TypeVar("T")
NAMES = ["t1", "t2", "t3"]
WORKERS = ["A", "B"]
ENDED = {"success", "failed", "cancelled"}
MOST_CRASHES = 3
RETRIES = 6

names = st.sampled_from(NAMES)
workers = st.sampled_from(WORKERS)
ASKED = Callback(url="https://example.com/done")
BOOM = Failed(error="boom", error_type="RateLimited")
NO_RETRY = Failed(error="no", error_type="Broken", retryable=False)
# Mostly what keeps a task going: an ended one teaches little.
outcomes = st.sampled_from(
    [BOOM, BOOM, BOOM, BOOM, Interrupted(), CannotStart("gone"), NO_RETRY, Cancelled(), Succeeded(1)]
)


class TwoWorkers(RuleBasedStateMachine):
    """The stores are real; the machine plays the broker, the workers' memories and the clock."""

    url = ""
    stores: dict[str, Store]
    loop: asyncio.AbstractEventLoop
    direct: Direct

    @initialize()
    def begin(self) -> None:
        self.direct.empty()
        self.held: dict[tuple[str, str], Claim] = {}  # attempts in memory, by worker and task
        self.forgotten: list[tuple[str, Claim]] = []  # of workers that crashed, or that were told they lost it
        # Messages somewhere in the broker. Delivering one does not use it up, so duplicates come for free.
        self.copies = {name: [task(name, body=name.encode(), fields={"callback": ASKED})] for name in NAMES}
        self.alive = dict.fromkeys(WORKERS, True)
        self.seen: dict[str, Row] = {}
        self.runs = dict.fromkeys(NAMES, 1)  # one, and one more for each retry by hand
        self.ends = dict.fromkeys(NAMES, 0)
        for worker in WORKERS:
            self._do(self.stores[worker].leases.renew(worker, worker, 60))

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def _rows(self) -> dict[str, Row]:
        return {row["id"]: row for row in self.direct.run(f"SELECT * FROM {TASKS}")}

    def _row(self, name: str) -> Row | None:
        return self._rows().get(name)

    def _me(self, worker: str, name: str, *, trusted: bool = True, live: bool = False) -> Claimant:
        held = self.held.get((worker, name))
        return Claimant(
            worker_id=worker,
            trusted=trusted,
            holds_attempt=held.attempt if held else None,
            holds_live_copy=held is not None and live,
            max_crashes=MOST_CRASHES,
        )

    # -- messages -----------------------------------------------------------------------------------------------------

    @rule(
        name=names,
        worker=workers,
        which=st.integers(0, 99),
        trusted=st.booleans(),
        live=st.booleans(),
        reply=st.booleans(),
    )
    def deliver(self, name: str, worker: str, which: int, trusted: bool, live: bool, reply: bool) -> None:
        """Any copy of a task's message, to any worker; without `reply` the answer gets lost."""
        self._revive(worker)
        copy = self.copies[name][which % len(self.copies[name])]
        before = self._row(name)
        me = self._me(worker, name, trusted=trusted, live=live)
        received = self._do(self.stores[worker].tasks.claim(copy, me, RETRIES))
        after = self._row(name)
        assert after is not None
        match received.reception:
            case Insert():
                assert before is None
            case Begin(attempt=attempt):
                assert before is not None
                assert before["status"] not in ENDED
                assert attempt == before["attempt"] + 1
                assert not before["cancel_requested"]
            case Resume():
                assert before is not None
                assert (before["status"], before["worker_id"]) == ("running", worker)
                assert before == after
            case Close():
                assert before is not None
                assert before["status"] not in ENDED or received.reception.completes
                assert after["status"] in ENDED
            case Reattach():
                assert received.claim is None
                assert before == after
                assert (worker, name) in self.held
            case AckOnly() | Delay():
                assert before == after
        if received.claim is None:
            return
        assert (after["status"], after["worker_id"], after["attempt"]) == ("running", worker, received.claim.attempt)
        if reply:
            self._drop(worker, name)
            self.held[worker, name] = received.claim
        else:
            self.forgotten.append((worker, received.claim))

    # -- ends ---------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 99), outcome=outcomes, reply=st.booleans())
    def finish(self, which: int, outcome: Outcome, reply: bool) -> None:
        """A held attempt ends; without `reply` the worker does not learn that it is stored, and commits again later."""
        worker, name = sorted(self.held)[which % len(self.held)]
        claim = self.held[worker, name]
        self._commit(worker, claim, outcome)
        if reply:
            self._drop(worker, name)

    @precondition(lambda self: self.forgotten)
    @rule(which=st.integers(0, 99), outcome=outcomes)
    def finish_late(self, which: int, outcome: Outcome) -> None:
        """The end of an attempt that its worker lost sight of, or was declared dead with."""
        worker, claim = self.forgotten[which % len(self.forgotten)]
        self._commit(worker, claim, outcome)

    def _commit(self, worker: str, claim: Claim, outcome: Outcome) -> None:
        before, history = self._row(claim.task_id), self.direct.history(claim.task_id)
        assert before is not None
        transition = decided(claim, outcome, delay=0, max_crashes=MOST_CRASHES)
        written = self._do(self.stores[worker].tasks.ends.commit(claim, transition, Report(), Progress()))
        after = self._row(claim.task_id)
        assert after is not None
        ours = (before["status"], before["worker_id"], before["attempt"]) == ("running", worker, claim.attempt)
        if ours:
            assert written is not None
            assert after["status"] == written.status
            assert written in (transition, replace(written, status=Status.CANCELLED))
            assert (
                not (before["cancel_requested"] and written.status is not Status.SUCCESS)
                or after["status"] == "cancelled"
            )
            self._send(claim)
        else:
            assert before == after
            assert self.direct.history(claim.task_id) == history
            if before["attempt"] != claim.attempt or (claim.attempt, "lost") in history:
                assert written is None

    def _send(self, claim: Claim) -> None:
        """The delayed message of a retry; it stays as a straggler whatever becomes of the task."""
        message = replace(claim.task.message, attempt=claim.attempt, message_id=f"delayed-{claim.attempt}")
        self._add(claim.task_id, message_task=replace(claim.task, message=message))

    def _add(self, name: str, message_task: Task) -> None:
        self.copies[name] = [*self.copies[name], message_task][-6:]

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 99), percent=st.integers(0, 100))
    def report_progress(self, which: int, percent: int) -> None:
        worker, name = sorted(self.held)[which % len(self.held)]
        claim, before = self.held[worker, name], self._row(name)
        noted = self._do(self.stores[worker].tasks.progress(claim, Progress(percent)))
        after = self._row(name)
        assert before is not None
        assert after is not None
        current = (before["status"], before["worker_id"], before["attempt"]) == ("running", worker, claim.attempt)
        assert noted is current
        assert after["progress"] == (percent if current else before["progress"])

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 99))
    def hand_off(self, which: int) -> None:
        worker, name = sorted(self.held)[which % len(self.held)]
        before = self._row(name)
        marked = self._do(self.stores[worker].tasks.hand_off(self.held[worker, name]))
        after = self._row(name)
        assert before is not None
        assert after is not None
        assert after["handed_off"] == (1 if marked else before["handed_off"])

    # -- accidents and people -----------------------------------------------------------------------------------------

    @rule(worker=workers)
    def crash(self, worker: str) -> None:
        """The worker's memory is gone and its lease is over; a new life under the same id starts with `deliver`."""
        for name in NAMES:
            self._drop(worker, name)
        self.direct.expire(worker)
        self.alive[worker] = False

    @rule(worker=workers)
    def pause(self, worker: str) -> None:
        """Its lease runs out while it goes on believing in its attempts."""
        self.direct.expire(worker)
        self.alive[worker] = False

    def _revive(self, worker: str) -> None:
        if not self.alive[worker]:  # a worker whose own lease is not live renews it before it claims anything
            self._do(self.stores[worker].leases.renew(worker, worker, 60))
            self.alive[worker] = True

    def _drop(self, worker: str, name: str) -> None:
        claim = self.held.pop((worker, name), None)
        if claim is not None:
            self.forgotten.append((worker, claim))

    @rule(name=names, worker=workers)
    def cancel(self, name: str, worker: str) -> None:
        before = self._row(name)
        answer = self._do(cancel(self.stores[worker], name))
        after = self._row(name)
        assert after is not None
        if before is None:
            assert (answer, after["status"], after["body"]) == (Steered.NOTED, "cancelled", None)
        elif before["status"] in ENDED:
            assert before == after
        elif before["status"] == "running":
            assert (after["status"], after["cancel_requested"]) == ("running", 1)
        else:
            assert after["status"] == "cancelled"

    @rule(name=names, worker=workers)
    def retry_by_hand(self, name: str, worker: str) -> None:
        before = self._row(name)
        message = self._do(retry_by_hand(self.stores[worker], name))
        ended = before is not None and before["status"] in ("failed", "cancelled")
        assert (message is not None) == (ended and before is not None and before["body"] is not None)
        if message is not None:
            self.runs[name] += 1
            self._add(name, replace(self.copies[name][0], message=message))

    # -- the clock ----------------------------------------------------------------------------------------------------

    @rule(worker=workers)
    def heartbeat(self, worker: str) -> None:
        """Renew, then compare rows with memory, both ways."""
        self._do(self.stores[worker].leases.renew(worker, worker, 60))
        self.alive[worker] = True
        rows = {row.task_id: row for row in self._do(self.stores[worker].leases.rows_of(worker))}
        for (owner, name), claim in list(self.held.items()):
            if owner == worker and (name not in rows or rows[name].attempt != claim.attempt):
                self._drop(worker, name)
        for name, row in rows.items():
            if (worker, name) not in self.held:
                assert self._do(self.stores[worker].leases.give_back(worker, row))
                after = self._row(name)
                assert after is not None
                assert after["status"] == ("cancelled" if row.cancel_requested else "pending")

    @rule(worker=workers, trusted=st.booleans())
    def maintain(self, worker: str, trusted: bool) -> None:
        """Everything is looked at now; what is sent becomes one more copy."""
        self.direct.run(f"UPDATE {TASKS} SET next_check_at = '2001-01-01 00:00:00.000' WHERE next_check_at IS NOT NULL")
        before = self._rows()
        sent = self._do(self.stores[worker].leases.overdue(judge_others=trusted))
        after = self._rows()
        for message in sent:
            name = message.body.decode()
            assert before[name]["status"] not in ENDED
            assert (message.wake_up, message.attempt) == (True, before[name]["attempt"])
            self._add(name, replace(self.copies[name][0], message=message))
        for name, row in after.items():
            same = ("status", "attempt", "worker_id", "crashes", "handed_off", "message_id")
            assert [row[column] for column in same] == [before[name][column] for column in same]

    # -- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        rows = self._rows()
        for name, row in rows.items():
            before = self.seen.get(name)
            self._moved_on(name, before, row)
            if row["status"] == "running":
                assert row["worker_id"] in WORKERS
            else:
                assert row["worker_id"] is None
            assert (row["completed_at"] is not None) == (row["status"] in ENDED)
            assert row["crashes"] <= MOST_CRASHES + 1
            assert row["retry_count"] <= row["max_retry_count"]
            holders = [worker for worker in WORKERS if self._holds_current(worker, row)]
            assert len(holders) <= 1
            attempts = [attempt for attempt, _ in self.direct.history(name)]
            assert attempts == sorted(set(attempts))
            assert all(attempt <= row["attempt"] for attempt in attempts)
        self._one_callback_for_each_end(rows)
        self.seen = rows

    def _one_callback_for_each_end(self, rows: dict[str, Row]) -> None:
        callbacks = self.direct.run(f"SELECT task_id, rerun, body FROM {TASKS}_callbacks")
        for name, row in rows.items():
            of_run = {one["rerun"]: json.loads(one["body"])["status"] for one in callbacks if one["task_id"] == name}
            ended = row["status"] in ENDED
            ended = ended and row["body"] is not None  # one that was cancelled before its message came owes it then
            assert sorted(of_run) == list(range(row["rerun"] + ended))
            assert not ended or of_run[row["rerun"]] == row["status"]

    def _holds_current(self, worker: str, row: Row) -> bool:
        held = self.held.get((worker, row["id"]))
        return held is not None and row["status"] == "running" and held.attempt == row["attempt"]

    def _moved_on(self, name: str, before: Row | None, row: Row) -> None:
        if before is not None:
            assert row["attempt"] >= before["attempt"]
            assert row["rev"] >= before["rev"]
        if row["status"] in ENDED and (before is None or before["status"] not in ENDED):
            self.ends[name] += 1
        assert self.ends[name] <= self.runs[name]
        assert self.ends[name] >= self.runs[name] - 1


@pytest.mark.parametrize("kind", ["sqlite", "mysql"])
@pytest.mark.timeout(300)  # hundreds of small transactions, beside busy neighbours
def test_two_workers_in_any_order(kind: str, request: pytest.FixtureRequest) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        url = f"sqlite:///{folder}/x.db" if kind == "sqlite" else str(request.getfixturevalue("migrated_mysql"))
        with asyncio.Runner() as runner:
            stores = {worker: runner.run(open_store(url)) for worker in WORKERS}
            try:
                explore(url, stores, runner.get_loop())
            finally:
                for store in stores.values():
                    runner.run(store.close())


def explore(url: str, stores: dict[str, Store], loop: asyncio.AbstractEventLoop) -> None:
    machine = type("Machine", (TwoWorkers,), {"stores": stores, "loop": loop, "direct": Direct(url)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
