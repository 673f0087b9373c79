"""An attempt's end is stored whatever its texts are, and says what of it the database would not have."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import (
    Callback,
    Checkpoint,
    Claim,
    Failed,
    Message,
    Outcome,
    Progress,
    Report,
    Status,
    Succeeded,
)
from gridsidecar.store import RowRejected, TransientRejection
from tests.conftest import execute_on_server
from tests.store.direct import TASKS
from tests.store.workers import A, B, Two, cancel, decided, end, open_store, task
from tests.support.services import private_mysql

ASKED = Callback(url="https://example.com/done", data={"order": 7})
TEXTS = Report(log_head="log", log_tail="tail", stderr_tail="stderr", notes=("noted",), exit_code=3)
FAILED = Failed(error="й" * 2000, error_type="Größe", traceback="trace", retryable=False)
AT_99 = Progress(99, "almost", Checkpoint("here"))


class Guard:
    """A trigger that refuses what its condition finds, on a table of each kind of database."""

    def __init__(self, two: Two) -> None:
        self._rows = two.rows
        self._names: list[str] = []

    def refuse(self, event: str, condition: str, table: str = "") -> None:
        name = f"guard_{len(self._names)}"
        self._names.append(name)
        head = f"CREATE TRIGGER {name} BEFORE {event} ON {TASKS}{table} FOR EACH ROW"
        if self._rows.is_mysql:
            self._rows.run(
                f"{head} BEGIN IF {condition} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not here'; END IF; END"
            )
        else:
            head = head.replace("FOR EACH ROW", f"FOR EACH ROW WHEN {condition}")
            self._rows.run(f"{head} BEGIN SELECT RAISE(ABORT, 'not here'); END")

    def lift(self) -> None:
        for name in self._names:
            self._rows.run(f"DROP TRIGGER {name}")
        self._names = []


@pytest.fixture
def guard(two: Two) -> Any:
    guard = Guard(two)
    yield guard
    guard.lift()


async def started(two: Two, callback: Callback = ASKED, retries: int = 0) -> Claim:
    return await two.started(retries=retries, message=task(fields={"callback": callback}))


async def ended(two: Two, outcome: Outcome, claim: Claim | None = None) -> Status | None:
    claim = claim or await started(two)
    stands = await two.a.tasks.ends.commit(claim, decided(claim, outcome), TEXTS, AT_99)
    assert stands is not None
    assert stands.status == two.rows.row()["status"]
    return stands.status


def callbacks(two: Two) -> list[dict[str, Any]]:
    return two.rows.run(f"SELECT * FROM {TASKS}_callbacks")


def history(two: Two) -> list[dict[str, Any]]:
    return two.rows.run(f"SELECT * FROM {TASKS}_attempts")


# -- what is only told goes first -------------------------------------------------------------------------------------


async def test_a_log_that_is_refused_costs_nothing_else(two: Two, guard: Guard) -> None:
    guard.refuse("INSERT", "NEW.log_head IS NOT NULL", "_attempts")
    assert await ended(two, Succeeded({"w": "й"})) is Status.SUCCESS
    row = two.rows.row()
    assert (row["result"], row["progress_message"]) == ('{"w":"й"}', "almost")
    (attempt,) = history(two)
    assert (attempt["outcome"], attempt["log_head"], attempt["exit_code"]) == ("success", None, 3)
    assert "log is left out" in attempt["notes"]
    assert "not here" in attempt["notes"]
    assert [one["dead"] for one in callbacks(two)] == [0]


async def test_a_checkpoint_that_is_refused_costs_no_retry(two: Two, guard: Guard) -> None:
    guard.refuse("UPDATE", "NEW.checkpoint IS NOT NULL")
    outcome = Failed(error="й" * 2000, error_type="Größe", traceback="trace")
    assert await ended(two, outcome, await started(two, retries=3)) is Status.RETRYING
    row = two.rows.row()
    assert (row["retry_count"], row["checkpoint"], row["traceback"], row["progress"]) == (1, None, None, 99)
    assert (row["error_message"], row["error_type"]) == ("?" * 500, "Gr??e")


async def test_a_history_that_is_refused_costs_no_result(two: Two, guard: Guard) -> None:
    guard.refuse("INSERT", "1 = 1", "_attempts")
    assert await ended(two, Succeeded(7)) is Status.SUCCESS
    assert two.rows.row()["result"] == "7"
    assert history(two) == []
    assert [one["dead"] for one in callbacks(two)] == [0]


# -- then the callback, which people see, and the result last ---------------------------------------------------------


@pytest.mark.parametrize("outcome", [Succeeded({"w": 1}), FAILED], ids=["success", "failed"])
async def test_a_callback_that_is_refused_is_given_up_and_the_end_stands(
    two: Two, guard: Guard, outcome: Outcome
) -> None:
    guard.refuse("INSERT", "NEW.body <> ''", "_callbacks")
    assert await ended(two, outcome) is (Status.FAILED if outcome is FAILED else Status.SUCCESS)
    (callback,) = await two.b.outbox.all(dead=True)
    assert (callback["task_id"], callback["body"], callback["next_try_at"]) == ("t", "", None)
    assert "not here" in callback["last_error"]
    assert (await two.b.reading.callback_counts())[0].counts["dead"] == 1


async def test_an_outbox_that_takes_nothing_costs_no_result(two: Two, guard: Guard) -> None:
    guard.refuse("INSERT", "1 = 1", "_callbacks")
    assert await ended(two, Succeeded(7)) is Status.SUCCESS
    assert callbacks(two) == []


async def test_a_success_without_its_result_is_a_failure_that_says_so(two: Two, guard: Guard) -> None:
    guard.refuse("UPDATE", "NEW.result IS NOT NULL")
    assert await ended(two, Succeeded({"w": 1})) is Status.FAILED
    row = two.rows.row()
    assert (row["result"], row["error_type"]) == (None, "HandlerError")
    assert "the database cannot store what the handler sent" in row["error_message"]
    assert "not here" in row["error_message"]
    (callback,) = callbacks(two)
    assert (callback["dead"], '"status":"failed"' in callback["body"]) == (0, True)


# -- what cannot be stored at all -------------------------------------------------------------------------------------


async def test_an_end_that_is_refused_in_every_form_can_be_put_back(two: Two, guard: Guard) -> None:
    claim = await started(two)
    guard.refuse("UPDATE", "NEW.status IN ('success', 'failed', 'cancelled')")
    with pytest.raises(TransientRejection, match="not here"):
        await end(two.a, claim, Succeeded(7))
    assert two.rows.row()["status"] == "running"
    assert await two.a.tasks.ends.put_back(claim, "й not here", 30)
    row = two.rows.row()
    assert (row["status"], row["worker_id"], row["attempt"], row["crashes"]) == ("pending", None, 1, 0)
    assert row["error_message"].endswith("? not here")
    assert history(two) == []
    await two.a.tasks.ends.set_aside("t", 1)
    two.rows.set(next_run_at="2001-01-01")
    assert await two.b.leases.overdue(judge_others=True) == []


async def test_a_put_back_row_keeps_its_request_to_cancel(two: Two, guard: Guard) -> None:
    claim = await started(two)
    await cancel(two.b, "t")
    assert await two.a.tasks.ends.put_back(claim, "no", 0)
    assert (await two.deliver_to_b(task(attempt=1, message_id="x"))).claim is None
    assert two.rows.row()["status"] == "cancelled"


async def test_a_row_that_others_took_is_not_put_back(two: Two) -> None:
    stale, _ = await two.rescued()
    before = two.rows.row()
    assert not await two.a.tasks.ends.put_back(stale, "no", 0)
    assert two.rows.row() == before


async def test_others_of_the_same_flush_end_whole(two: Two, guard: Guard) -> None:
    guard.refuse("UPDATE", "substr(NEW.id, 1, 3) = 'bad' AND NEW.status = 'success'")
    names = [f"{kind}{number}" for number in range(5) for kind in ("bad", "good")]
    claims = [(await two.a.tasks.claim(task(name), A, 0)).claim for name in names]
    ends = await asyncio.gather(*(end(two.a, claim, Succeeded(1)) for claim in claims if claim))
    assert [stands and stands.status for stands in ends] == [Status.FAILED, Status.SUCCESS] * 5


# -- the same where no attempt ended ----------------------------------------------------------------------------------


async def test_a_cancelled_task_ends_without_the_callback_that_is_refused(two: Two, guard: Guard) -> None:
    guard.refuse("INSERT", "NEW.body <> ''", "_callbacks")
    await end(two.a, await started(two, retries=1), Failed(error="no", error_type="X"))
    assert await cancel(two.b, "t") is Steered.CANCELLED
    assert two.rows.row()["status"] == "cancelled"
    assert [(one["dead"], one["body"]) for one in callbacks(two)] == [(1, "")]


async def test_a_message_is_refused_whatever_of_it_can_be_noted(two: Two, guard: Guard) -> None:
    guard.refuse("INSERT", "NEW.data IS NOT NULL")
    asked = task(fields={"callback": ASKED, "data": "x"})
    assert await two.a.tasks.refused_messages.record(Message(body=b"x"), "t", "no handler й", asked)
    assert (two.rows.row()["status"], two.rows.row()["error_message"]) == ("failed", "no handler ?")
    guard.refuse("INSERT", "NEW.id = 'u'")
    assert not await two.a.tasks.refused_messages.record(Message(body=b"x"), "u", "no handler", asked)


async def test_a_refused_claim_says_whether_it_may_pass(two: Two, guard: Guard) -> None:
    guard.refuse("INSERT", "NEW.id = 'later'")
    with pytest.raises(TransientRejection, match="not here"):
        await two.a.tasks.claim(task("later"), A, 0)
    with pytest.raises(RowRejected) as never:
        await two.b.tasks.claim(task("never", fields={"priority": 2**70}), B, 0)
    assert not isinstance(never.value, TransientRejection)


# -- packets ----------------------------------------------------------------------------------------------------------


async def test_an_end_of_which_each_part_fits_is_stored_whole() -> None:
    """All in one packet would be too much."""
    with private_mysql(["--max-allowed-packet=1M"]) as server:
        execute_on_server(server.url, "create database gs")
        store = await open_store(f"{server.url}gs")
        try:
            await store.leases.renew("A", "one", 60)
            claim = (await store.tasks.claim(task(fields={"callback": ASKED}), A, 0)).claim
            assert claim is not None
            texts = Report(log_head="x" * 600_000)
            stands = await store.tasks.ends.commit(claim, decided(claim, Succeeded("й" * 300_000)), texts, Progress())
            assert stands is not None
            assert stands.status is Status.SUCCESS
            said = await store.output.page("t")
            assert said is not None
            assert len(said.text) == 600_000
            assert [one["dead"] for one in await store.outbox.all()] == [0]
        finally:
            await store.close()
