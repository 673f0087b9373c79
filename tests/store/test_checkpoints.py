"""A checkpoint is stored beside progress, fenced like every write, and kept until the task has succeeded."""

from __future__ import annotations

from typing import Any

import pytest

from gridsidecar.rules.task import (
    Cancelled,
    Checkpoint,
    Claim,
    Failed,
    Interrupted,
    Outcome,
    Progress,
    Report,
    Succeeded,
)
from tests.store.workers import BOOM, Two, decided, delayed, retry_by_hand, wake_up

PAGE_17 = Progress(checkpoint=Checkpoint({"page": 17}))
FOR_GOOD = Failed(error="bad", error_type="X", retryable=False)


def stored(two: Two) -> Any:
    return two.rows.row()["checkpoint"]


async def end(two: Two, claim: Claim, outcome: Outcome, progress: Progress) -> None:
    assert await two.a.tasks.ends.commit(claim, decided(claim, outcome), Report(), progress) is not None


async def test_it_comes_back_with_the_next_attempt(two: Two) -> None:
    claim = await two.started()
    assert await two.a.tasks.progress(claim, PAGE_17)
    await end(two, claim, BOOM, Progress())
    two.rows.make_due()
    received = await two.deliver_to_b(delayed(1))
    assert received.claim is not None
    assert received.claim.checkpoint == {"page": 17}


async def test_it_survives_the_death_of_its_worker(two: Two) -> None:
    claim = await two.started()
    assert await two.a.tasks.progress(claim, PAGE_17)
    two.rows.expire("A")
    received = await two.deliver_to_b(delayed(1))
    assert received.claim is not None
    assert (received.claim.attempt, received.claim.checkpoint) == (2, {"page": 17})


async def test_progress_without_one_leaves_it(two: Two) -> None:
    claim = await two.started()
    await two.a.tasks.progress(claim, PAGE_17)
    await two.a.tasks.progress(claim, Progress(50))
    assert stored(two) == '{"page":17}'


async def test_null_clears_it(two: Two) -> None:
    claim = await two.started()
    await two.a.tasks.progress(claim, PAGE_17)
    await two.a.tasks.progress(claim, Progress(checkpoint=Checkpoint(None)))
    await end(two, claim, BOOM, Progress())
    two.rows.make_due()
    received = await two.deliver_to_b(delayed(1))
    assert received.claim is not None
    assert received.claim.checkpoint is None


@pytest.mark.parametrize(
    "outcome", [BOOM, FOR_GOOD, Interrupted(), Cancelled()], ids=lambda value: type(value).__name__
)
async def test_the_last_one_travels_with_the_end(two: Two, outcome: Outcome) -> None:
    claim = await two.started()
    await end(two, claim, outcome, PAGE_17)
    assert stored(two) == '{"page":17}'


@pytest.mark.parametrize("last", [Progress(), PAGE_17], ids=["stored", "on-its-way"])
async def test_a_success_needs_none(two: Two, last: Progress) -> None:
    claim = await two.started()
    await two.a.tasks.progress(claim, PAGE_17)
    await end(two, claim, Succeeded(), last)
    assert stored(two) is None


async def test_a_worker_that_lost_its_task_cannot_write_one(two: Two) -> None:
    stale, current = await two.rescued()
    assert not await two.a.tasks.progress(stale, PAGE_17)
    assert await two.a.tasks.ends.commit(stale, decided(stale, BOOM), Report(), PAGE_17) is None
    assert stored(two) is None
    assert await two.b.tasks.progress(current, Progress(checkpoint=Checkpoint("二")))
    assert stored(two) == '"二"'


async def test_a_retry_by_hand_goes_on_from_it(two: Two) -> None:
    claim = await two.started(retries=0)
    await end(two, claim, FOR_GOOD, PAGE_17)
    assert await retry_by_hand(two.a, "t") is not None
    received = await two.deliver_to_b(wake_up(1))
    assert received.claim is not None
    assert received.claim.checkpoint == {"page": 17}
