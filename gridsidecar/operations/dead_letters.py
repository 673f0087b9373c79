"""Dead letters by their ids and by what their bodies mean today; and back to the work queue: reopened in the store,
confirmed by the broker, and only then removed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from enum import StrEnum

from msgspec import Struct

from gridsidecar import wire
from gridsidecar.broker import Broker, DeadLetter
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.rules.steering import Reopening
from gridsidecar.rules.task import Task
from gridsidecar.store import Store


class Letter(Struct, frozen=True):
    """`content` is what the body means under the configuration of today."""

    dead: DeadLetter
    content: Task | wire.Refused
    max_bytes: int

    @property
    def task_id(self) -> str | None:
        return self.content.task_id

    @property
    def message_id(self) -> str | None:
        return self.dead.message.message_id

    @property
    def id(self) -> str:
        """How people call it; empty where it has no id at all."""
        return self.task_id or self.message_id or ""

    @property
    def ids(self) -> set[str]:
        return {id_ for id_ in (self.task_id, self.message_id) if id_}


@asynccontextmanager
async def letters_of(broker: Broker, settings: BrokerSettings) -> AsyncIterator[AsyncIterator[Letter]]:
    """The broker's dead letters, read under these settings."""
    limit = settings.max_message_bytes
    async with broker.dead_letters() as dead:
        yield (Letter(one, wire.decode_task(one.message, limit), limit) async for one in dead)


def wanted(letter: Letter, ids: Set[str], settings: BrokerSettings) -> bool:
    """Called by its id; without ids, all that this queue refused: several queues may share their dead letters."""
    return bool(ids & letter.ids) if ids else letter.dead.queue in (None, settings.queue)


class Replay(StrEnum):
    """What came of a letter that is to run again."""

    SENT = "sent"
    SAME_TASK = "same_task"  # of an earlier failure, or of the next one already: one wish is one retry
    OTHER_QUEUE = "other_queue"
    REFUSED_AGAIN = "refused_again"  # it would be
    NOT_FAILED = "not_failed"  # its task is in another state, and drops a message more


class Replayed(Struct, frozen=True):
    """One letter; `detail` is the queue, the reason or the state that is in the way."""

    letter: Letter
    outcome: Replay
    detail: str = ""


async def replay(broker: Broker, store: Store, settings: BrokerSettings, ids: Set[str]) -> AsyncIterator[Replayed]:
    """Send the letters of these ids, or without ids all of this queue; each as it is done, whatever comes of it.

    Raises what store and broker raise; what was sent before is sent.
    """
    sent: set[str] = set()  # tasks
    async with letters_of(broker, settings) as letters:
        async for letter in letters:
            if not wanted(letter, ids, settings):
                continue
            if letter.task_id in sent:
                yield Replayed(letter, Replay.SAME_TASK)
                continue
            obstacle = await _obstacle(letter, store, settings)
            if obstacle is not None:
                yield obstacle
                continue
            await broker.publish(letter.dead.message)
            await letter.dead.remove()
            if letter.task_id:
                sent.add(letter.task_id)
            yield Replayed(letter, Replay.SENT)


async def _obstacle(letter: Letter, store: Store, settings: BrokerSettings) -> Replayed | None:
    """Why a replay would be in vain; None when the task's row waits for the letter's message."""
    queue = letter.dead.queue
    if queue is not None and queue != settings.queue:
        return Replayed(letter, Replay.OTHER_QUEUE, queue)
    if isinstance(letter.content, wire.Refused):
        return Replayed(letter, Replay.REFUSED_AGAIN, f"{letter.content.reason}: {letter.content.error}")
    answer = await store.steering.reopen(letter.content.task_id)
    if isinstance(answer, Reopening):
        return None
    return Replayed(letter, Replay.NOT_FAILED, answer.value.partition(":")[2] or answer.value)
