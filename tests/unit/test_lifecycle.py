"""The state machine as tables: what a delivery, a write without effect and the clock mean."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gridsidecar.language import counted
from gridsidecar.rules.lifecycle import (
    LONGEST_UNTIL_NEXT_LOOK,
    UnmatchedWrite,
    cancel,
    leftover,
    receive,
    resolve_unmatched_write,
)
from gridsidecar.rules.reception import (
    AckOnly,
    AwaitOwnProcess,
    AwaitSlot,
    Begin,
    Claimant,
    Close,
    Delay,
    Insert,
    Reattach,
    Reception,
    Resume,
    Row,
)
from gridsidecar.rules.retry import next_check
from gridsidecar.rules.task import (
    Claim,
    Message,
    Status,
    Task,
)

A = "worker-a"
B = "worker-b"


def row(status: Status, **columns: Any) -> Row:
    known: dict[str, Any] = {"status": status, "attempt": 3, "message_id": "first"} | columns
    return Row(**known)


def waiting(**columns: Any) -> Row:
    return row(Status.RETRYING, **columns)


def mine(**columns: Any) -> Row:
    known: dict[str, Any] = {"worker_id": A, "lease_left": 40.0} | columns
    return row(Status.RUNNING, **known)


def others(**columns: Any) -> Row:
    known: dict[str, Any] = {"worker_id": B, "owner": "pod-1", "lease_left": 40.0} | columns
    return row(Status.RUNNING, **known)


def orphaned(**columns: Any) -> Row:
    known: dict[str, Any] = {"lease_left": -1.0} | columns
    return others(**known)


def message(**properties: Any) -> Message:
    """A delayed message of the row's own attempt: never a leftover."""
    known: dict[str, Any] = {"body": b"{}", "attempt": 3, "message_id": "other"} | properties
    return Message(**known)


def me(**known: Any) -> Claimant:
    asker: dict[str, Any] = {"worker_id": A, "trusted": True} | known
    return Claimant(**asker)


DELAYED = message()
WAKE_UP = message(wake_up=True)
OLD = message(attempt=2)
HOLDS = me(holds_attempt=3)


def lost(crashes: int) -> Close:
    return Close(
        status=Status.FAILED,
        error=f"its worker died {counted(crashes, 'time')} while it ran (worker.max_crashes is {crashes - 1}), "
        "the last time on pod-1",
        error_type="WorkerLost",
        crashes=crashes,
        rescues=True,
    )


def ends_cancelled(*, crashes: int = 0, rescues: bool = False) -> Close:
    return Close(
        status=Status.CANCELLED,
        error="cancelled on request",
        error_type="Cancelled",
        crashes=crashes,
        rescues=rescues,
    )


_DELIVERIES: list[tuple[str, Row | None, Message, Claimant, Reception]] = [
    ("none: insert", None, message(attempt=0), me(), Insert()),
    ("none, a late wake-up: insert", None, WAKE_UP, me(), Insert()),
    ("success: ack", row(Status.SUCCESS), DELAYED, me(), AckOnly("already ended")),
    ("failed: ack", row(Status.FAILED), DELAYED, me(), AckOnly("already ended")),
    ("cancelled: ack", row(Status.CANCELLED), DELAYED, me(), AckOnly("already ended")),
    ("terminal, a producer's duplicate: ack", row(Status.FAILED), Message(body=b""), me(), AckOnly("already ended")),
    (
        "pending, cancel requested: cancelled",
        row(Status.PENDING, cancel_requested=True),
        DELAYED,
        me(),
        ends_cancelled(),
    ),
    (
        "retrying, cancel requested, not due: cancelled",
        waiting(cancel_requested=True, due_in=50.0, crashes=2),
        WAKE_UP,
        me(),
        ends_cancelled(crashes=2),
    ),
    ("pending, due: attempt + 1", row(Status.PENDING), DELAYED, me(), Begin(attempt=4, crashes=0)),
    ("retrying, due: attempt + 1", waiting(crashes=1), DELAYED, me(), Begin(attempt=4, crashes=1)),
    ("retrying, due for long: attempt + 1", waiting(due_in=-900.0), DELAYED, me(), Begin(attempt=4, crashes=0)),
    ("due, a leftover can start it", waiting(), WAKE_UP, me(), Begin(attempt=4, crashes=0)),
    ("due, my own lease not trusted", waiting(), DELAYED, me(trusted=False), Begin(attempt=4, crashes=0)),
    ("not due, a wake-up: ack", waiting(due_in=9.0), WAKE_UP, me(), AckOnly("a newer message will bring it back")),
    ("not due, an older attempt: ack", waiting(due_in=9.0), OLD, me(), AckOnly("a newer message will bring it back")),
    ("not due: delayed message for the rest", waiting(due_in=9.0), DELAYED, me(), Delay(delay=9.0)),
    ("not due, the row's own message: delayed message for the rest", waiting(due_in=9.0, message_id="other"), OLD, me(),
     Delay(delay=9.0)),
    ("mine in memory, a wake-up: ack", mine(), WAKE_UP, HOLDS, AckOnly("runs here")),
    ("mine in memory, an older attempt: ack", mine(), OLD, HOLDS, AckOnly("runs here")),
    ("mine in memory, I hold a live copy: ack", mine(), DELAYED, replace(HOLDS, holds_live_copy=True),
     AckOnly("runs here")),
    ("mine in memory, handed off: ack", mine(store_redelivers=True), DELAYED, HOLDS, AckOnly("runs here")),
    ("mine in memory: adopt", mine(), DELAYED, HOLDS, Reattach()),
    ("mine in memory, the row's own message: adopt", mine(message_id="other"), OLD, HOLDS, Reattach()),
    ("mine in memory, my lease expired: adopt", mine(lease_left=-5.0), DELAYED, HOLDS, Reattach()),
    ("mine, not in memory: same attempt", mine(), DELAYED, me(), Resume()),
    ("mine, an older attempt in memory: same attempt", mine(), DELAYED, me(holds_attempt=2), Resume()),
    ("mine, not in memory, a wake-up: same attempt", mine(), WAKE_UP, me(), Resume()),
    ("elsewhere, lease live, a wake-up: ack", others(), WAKE_UP, me(), AckOnly("runs elsewhere")),
    ("elsewhere, lease live, an older attempt: ack", others(), OLD, me(), AckOnly("runs elsewhere")),
    ("elsewhere, lease live, handed off: ack", others(store_redelivers=True), DELAYED, me(), AckOnly("runs elsewhere")),
    ("elsewhere, lease live: busy", others(), DELAYED, me(), Delay(delay=40.0, elsewhere=True)),
    ("elsewhere, lease live, second time: doubled", others(), message(seen_running=1), me(),
     Delay(delay=80.0, elsewhere=True)),
    ("elsewhere, lease live, third time: doubled again", others(), message(seen_running=2), me(),
     Delay(delay=160.0, elsewhere=True)),
    ("elsewhere, lease live, never more than 5 minutes", others(), message(seen_running=99), me(),
     Delay(delay=LONGEST_UNTIL_NEXT_LOOK, elsewhere=True)),
    ("elsewhere, lease nearly over: at least a second", others(lease_left=0.01), DELAYED, me(),
     Delay(delay=1.0, elsewhere=True)),
    ("elsewhere, the row's own message: busy", others(message_id="other"), OLD, me(),
     Delay(delay=40.0, elsewhere=True)),
    ("elsewhere, cancel requested, lease live: busy", others(cancel_requested=True), DELAYED, me(),
     Delay(delay=40.0, elsewhere=True)),
    ("lease expired, mine not trusted: busy", orphaned(), DELAYED, me(trusted=False), Delay(delay=1.0, elsewhere=True)),
    ("no lease at all, mine not trusted: busy", orphaned(lease_left=None), DELAYED, me(trusted=False),
     Delay(delay=1.0, elsewhere=True)),
    ("lease expired, mine not trusted, a wake-up: ack", orphaned(), WAKE_UP, me(trusted=False),
     AckOnly("runs elsewhere")),
    ("lease expired, mine not trusted, handed off: ack", orphaned(store_redelivers=True), DELAYED, me(trusted=False),
     AckOnly("runs elsewhere")),
    ("lease expired, cancel requested: cancelled", orphaned(cancel_requested=True, crashes=1), DELAYED, me(),
     ends_cancelled(crashes=1, rescues=True)),
    ("lease expired, crashes + 1 > max_crashes: failed", orphaned(crashes=3), DELAYED, me(), lost(4)),
    ("lease expired, max_crashes 0: failed", orphaned(), DELAYED, me(max_crashes=0), lost(1)),
    ("lease expired, cancel beats WorkerLost", orphaned(crashes=3, cancel_requested=True), DELAYED, me(),
     ends_cancelled(crashes=3, rescues=True)),
    ("lease expired: attempt + 1, crashes + 1", orphaned(crashes=2), DELAYED, me(),
     Begin(attempt=4, crashes=3, rescues=True)),
    ("lease expired, handed off: attempt + 1, crashes + 1", orphaned(store_redelivers=True), WAKE_UP, me(),
     Begin(attempt=4, crashes=1, rescues=True)),
    ("no lease at all: attempt + 1, crashes + 1", orphaned(lease_left=None), OLD, me(),
     Begin(attempt=4, crashes=1, rescues=True)),
    ("lease over this very moment: attempt + 1, crashes + 1", orphaned(lease_left=0.0), DELAYED, me(),
     Begin(attempt=4, crashes=1, rescues=True)),
    ("due, no slot for it yet: claimed ahead", waiting(), DELAYED, me(ahead=True),
     Begin(attempt=4, crashes=0, ahead=True)),
    ("due, it has taken a worker down, no slot: wait for one", waiting(crashes=1), DELAYED, me(ahead=True),
     AwaitSlot()),
    ("lease expired, no slot: wait for one", orphaned(), DELAYED, me(ahead=True), AwaitSlot()),
    ("expired, crashes + 1 > max_crashes, no slot: failed", orphaned(crashes=3), DELAYED, me(ahead=True), lost(4)),
    ("lease expired, claimed ahead: no crash is spent", orphaned(ahead=True), DELAYED, me(),
     Begin(attempt=4, crashes=0, rescues=True)),
    ("lease expired, claimed ahead, max_crashes 0: no crash is spent", orphaned(ahead=True), DELAYED,
     me(max_crashes=0), Begin(attempt=4, crashes=0, rescues=True)),
    ("the claim's reply was lost, it had a slot: wait for one", mine(), DELAYED, me(ahead=True), AwaitSlot()),
    ("due, it may have ended a process under others: wait for a process of its own", waiting(crashes=1), DELAYED,
     me(own_process=False), AwaitOwnProcess()),
    ("due, the same, no slot either: wait for a process of its own", waiting(crashes=1), DELAYED,
     me(own_process=False, ahead=True), AwaitOwnProcess()),
    ("due, the same, cancel requested: cancelled", waiting(crashes=1, cancel_requested=True), DELAYED,
     me(own_process=False), ends_cancelled(crashes=1)),
    ("due, it has ended nobody: needs none of its own", waiting(), DELAYED,
     me(own_process=False), Begin(attempt=4, crashes=0)),
    ("lease expired: it has ended a worker, wait for a process of its own", orphaned(), DELAYED,
     me(own_process=False),
     AwaitOwnProcess()),
    ("lease expired, claimed ahead: it has ended nobody", orphaned(ahead=True), DELAYED, me(own_process=False),
     Begin(attempt=4, crashes=0, rescues=True)),
    ("lease expired, claimed ahead, no slot: wait for that", orphaned(ahead=True), DELAYED,
     me(own_process=False, ahead=True), AwaitSlot()),
    ("the claim's reply was lost, with a crash: wait for a process of its own", mine(crashes=1), DELAYED,
     me(own_process=False), AwaitOwnProcess()),
    ("the claim's reply was lost, it was ahead: resume", mine(ahead=True), DELAYED, me(ahead=True), Resume()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("stored", "delivered", "asks", "expected"), [pytest.param(*case[1:], id=case[0]) for case in _DELIVERIES]
)
def test_on_a_delivery(stored: Row | None, delivered: Message, asks: Claimant, expected: Reception) -> None:
    assert receive(stored, delivered, asks) == expected


@pytest.mark.parametrize(
    ("of_row", "delivered", "expected"),
    [
        pytest.param("p", Message(body=b"", attempt=3, message_id="x"), False, id="the row's attempt"),
        pytest.param("p", Message(body=b"", attempt=4, message_id="x"), False, id="a newer attempt"),
        pytest.param("p", Message(body=b"", attempt=2, message_id="x"), True, id="an older attempt"),
        pytest.param("p", Message(body=b"", message_id="x"), True, id="no attempt counts as 0"),
        pytest.param("p", Message(body=b"", message_id="p"), False, id="older, but the row's own message"),
        pytest.param(None, Message(body=b""), False, id="absent equals absent"),
        pytest.param("p", Message(body=b""), True, id="absent is not the row's"),
        pytest.param(None, Message(body=b"", message_id="x"), True, id="an id where the row has none"),
        pytest.param("p", Message(body=b"", attempt=3, wake_up=True), True, id="a wake-up of the row's attempt"),
        pytest.param(None, Message(body=b"", attempt=3, wake_up=True), False, id="a wake-up, absent equals absent"),
    ],
)
def test_leftover(of_row: str | None, delivered: Message, expected: bool) -> None:
    assert leftover(row(Status.RETRYING, message_id=of_row), delivered) is expected


# -- a fenced write changed no row ------------------------------------------------------------------------------------


def claim(**columns: Any) -> Claim:
    known: dict[str, Any] = {"attempt": 3, "worker_id": A, "max_retry_count": 2} | columns
    return Claim(task=Task(task_id="t", message=Message(body=b"{}")), **known)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(None, UnmatchedWrite.LOST, id="the row is gone"),
        pytest.param(row(Status.SUCCESS), UnmatchedWrite.WRITTEN, id="same attempt, ended: my own commit"),
        pytest.param(row(Status.RETRYING), UnmatchedWrite.WRITTEN, id="same attempt, retrying: my own commit"),
        pytest.param(row(Status.PENDING), UnmatchedWrite.WRITTEN, id="same attempt, pending: my own commit"),
        pytest.param(others(attempt=4), UnmatchedWrite.LOST, id="newer attempt running elsewhere"),
        pytest.param(mine(attempt=4), UnmatchedWrite.LOST, id="newer attempt of my own"),
        pytest.param(row(Status.SUCCESS, attempt=4), UnmatchedWrite.LOST, id="newer attempt ended"),
        pytest.param(mine(cancel_requested=True), UnmatchedWrite.CANCEL, id="still mine, cancel requested"),
        pytest.param(others(cancel_requested=True), UnmatchedWrite.LOST, id="another worker's, cancel requested"),
        pytest.param(mine(), UnmatchedWrite.LOST, id="still mine and running: no reason to go on"),
    ],
)
def test_a_write_that_changed_nothing(found: Row | None, expected: UnmatchedWrite) -> None:
    assert resolve_unmatched_write(found, claim(), taken=False) is expected


@pytest.mark.parametrize("found", [row(Status.FAILED), row(Status.PENDING), row(Status.CANCELLED), mine()])
def test_an_attempt_that_others_gave_up_as_lost_is_lost(found: Row) -> None:
    assert resolve_unmatched_write(found, claim(), taken=True) is UnmatchedWrite.LOST


# -- on a clock -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("late", "gap"),
    [(-5.0, 30.0), (0.0, 30.0), (29.0, 30.0), (30.0, 30.0), (60.0, 60.0), (500.0, 500.0), (7200.0, 3600.0)],
)
def test_next_check(late: float, gap: float) -> None:
    assert next_check(late) == gap


def test_looks_at_a_row_that_nobody_brings_back_come_at_doubling_gaps() -> None:
    late, looks = 0.0, []
    while late < 86_400:
        looks.append(next_check(late))
        late += looks[-1]
    assert looks[:6] == [30.0, 30.0, 60.0, 120.0, 240.0, 480.0]
    assert len(looks) < 35


def test_cancel_keeps_the_crashes() -> None:
    assert cancel(waiting(crashes=2)) == ends_cancelled(crashes=2)


# -- rows that an earlier system runs ---------------------------------------------------------------------------------


def test_a_row_without_a_lease_waits_for_its_earlier_system() -> None:
    found = receive(row(Status.RUNNING, attempt=0, worker_id=None), message(), me())
    assert found == Delay(delay=1.0, elsewhere=True, leaseless=True)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_row_without_a_lease_is_taken_over_when_the_broker_says_that_its_worker_is_gone(trusted: bool) -> None:
    """Also right after a start: there is no lease that could look expired by mistake."""
    found = receive(row(Status.RUNNING, attempt=0, worker_id=None), message(), me(redelivered=True, trusted=trusted))
    assert found == Begin(attempt=1, crashes=1, rescues=True)
