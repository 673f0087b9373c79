"""Words for the tests of the store: tasks, workers A and B, and the ways an attempt ends."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from gridsidecar.config.settings import StoreSettings
from gridsidecar.rules.lifecycle import decide
from gridsidecar.rules.reception import Begin, Claimant, Insert
from gridsidecar.rules.retry import RetryPolicy
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import (
    Claim,
    Failed,
    Message,
    Outcome,
    Progress,
    Report,
    Status,
    Succeeded,
    Task,
    Transition,
)
from gridsidecar.store import Answer, Store, Wanted, make_store
from tests.store.direct import TASKS, Direct

QUEUE = "q"
BOOM = Failed(error="boom", error_type="RateLimited")


async def open_store(url: str, *, migrate: bool | None = True, queue: str = QUEUE, **settings: Any) -> Store:
    store = make_store(StoreSettings(url=url, **settings), queue)
    try:
        await store.open(migrate=migrate)
    except BaseException:
        await store.close()
        raise
    return store


async def cancel(store: Store, task_id: str) -> Steered:
    return (await store.steering.cancel([task_id]))[task_id]


async def retry_by_hand(store: Store, task_id: str) -> Message | None:
    """The message that brings it back; None where it may not run again, or was begun before it was asked for."""
    outcomes = await store.steering.retry([task_id])
    done = [one for one, outcome in outcomes.items() if outcome.done]
    messages = [message async for _, message, _ in store.steering.wake_ups(done)]
    assert len(messages) <= len(done)
    return messages[0] if messages else None


async def migrate(url: str, **settings: Any) -> None:
    await (await open_store(url, **settings)).close()


async def listed(store: Store, **wanted: Any) -> list[dict[str, Any]]:
    """The newest tasks."""
    return (await store.listing.page(Wanted(**wanted), limit=200)).tasks


async def counts(store: Store) -> dict[str, int]:
    """Tasks by their state."""
    return {status.value: count.n for status, count in (await store.counting.by_status()).items()}


def task(task_id: str = "t", *, fields: dict[str, Any] | None = None, **properties: Any) -> Task:
    """A task whose message has these properties; its own fields go into `fields`."""
    known: dict[str, Any] = {"body": b'{"task_id": "t"}', "message_id": "first"} | properties
    return Task(task_id=task_id, message=Message(**known), **(fields or {}))


def delayed(attempt: int, **properties: Any) -> Task:
    """What brings the task back after this attempt."""
    return task(attempt=attempt, **({"message_id": f"delayed-{attempt}"} | properties))


def wake_up(attempt: int) -> Task:
    """What maintenance sends."""
    return task(attempt=attempt, wake_up=True, message_id="wake_up")


def worker(worker_id: str, **known: Any) -> Claimant:
    asker: dict[str, Any] = {"worker_id": worker_id, "trusted": True} | known
    return Claimant(**asker)


A = worker("A")
B = worker("B")


def decided(claim: Claim, outcome: Outcome, *, delay: float = 50.0, max_crashes: int = 3) -> Transition:
    transition = decide(claim, outcome, RetryPolicy(delay=delay), random.Random(1), max_crashes=max_crashes)
    assert transition is not None
    return transition


async def end(store: Store, claim: Claim, outcome: Outcome, *, delay: float = 50.0) -> Transition | None:
    """Commit the end of an attempt; what the store says stands in the row now."""
    return await store.tasks.ends.commit(claim, decided(claim, outcome, delay=delay), Report(), Progress())


@dataclass
class Two:
    """Two workers' stores on one database."""

    a: Store
    b: Store
    url: str
    rows: Direct = field(init=False)

    def __post_init__(self) -> None:
        self.rows = Direct(self.url)

    async def started(self, *, retries: int = 3, message: Task | None = None) -> Claim:
        """Worker A runs attempt 1 of task t."""
        received = await self.a.tasks.claim(message or task(), A, retries)
        assert received.reception == Insert()
        assert received.claim is not None
        return received.claim

    async def retrying(self, *, retries: int = 3) -> Claim:
        """Attempt 1 failed, attempt 2 is due in 50 s."""
        claim = await self.started(retries=retries)
        transition = await end(self.a, claim, BOOM)
        assert transition is not None
        assert transition.status is Status.RETRYING
        return claim

    async def ended(self, outcome: Outcome | None = None) -> Claim:
        claim = await self.started(retries=0)
        assert await end(self.a, claim, outcome or Succeeded({"w": 1})) is not None
        return claim

    async def rescued(self) -> tuple[Claim, Claim]:
        """Worker A was cut off, worker B runs attempt 2; the claims of both."""
        stale = await self.started()
        self.rows.expire("A")
        received = await self.b.tasks.claim(delayed(1), B, 3)
        assert received.reception == Begin(attempt=2, crashes=1, rescues=True)
        assert received.claim is not None
        return stale, received.claim

    async def deliver_to_a(self, message: Task, **known: Any) -> Answer:
        return await self.a.tasks.claim(message, replace(A, **known), 3)

    async def deliver_to_b(self, message: Task, **known: Any) -> Answer:
        return await self.b.tasks.claim(message, replace(B, **known), 3)


def no_changes_of(two: Two, task_id: str, what: str = "UPDATE") -> None:
    """A trigger that refuses them: any reason that a database may have."""
    if two.rows.is_mysql:
        two.rows.run(
            f"CREATE TRIGGER refuses BEFORE {what} ON {TASKS} FOR EACH ROW "
            f"IF OLD.id = '{task_id}' THEN INSERT INTO {TASKS}_schema_version (version, applied_at) "
            "VALUES (NULL, NOW()); END IF"
        )
    else:
        two.rows.run(
            f"CREATE TRIGGER refuses BEFORE {what} ON {TASKS} FOR EACH ROW WHEN OLD.id = '{task_id}' "
            "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
