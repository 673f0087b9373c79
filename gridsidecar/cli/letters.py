"""Dead letters as the command line knows them: by their ids, and by what their bodies mean today."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set
from contextlib import asynccontextmanager

from msgspec import Struct

from gridsidecar import wire
from gridsidecar.broker import Broker, DeadLetter
from gridsidecar.cli.parts import existing_store
from gridsidecar.cli.screen import say
from gridsidecar.config.settings import BrokerSettings, Settings
from gridsidecar.errors import EX_FAILED, AccessRefused, Unavailable, UsageError
from gridsidecar.task import Status, Task


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


StateOf = Callable[[Letter], Awaitable[Status | None]]


@asynccontextmanager
async def letters_of(broker: Broker, settings: BrokerSettings) -> AsyncIterator[AsyncIterator[Letter]]:
    """The broker's dead letters, read under these settings."""
    limit = settings.max_message_bytes
    async with broker.dead_letters() as dead:
        yield (Letter(one, wire.decode_task(one.message, limit), limit) async for one in dead)


@asynccontextmanager
async def task_states(settings: Settings | None) -> AsyncIterator[StateOf]:
    """Asks for the status of a letter's task; None where there is no such row. Without settings there never is."""
    if settings is None:
        yield _unknown
        return
    async with existing_store(settings) as store:

        async def of(letter: Letter) -> Status | None:
            found = await store.output.newest(letter.task_id) if store and letter.task_id else None
            return found and found[0]

        yield of


async def states_of(letters: Sequence[Letter], settings: Settings | None) -> list[Status | None]:
    """Of each letter's task. A store that is away or refuses is told of, and leaves them unknown."""
    try:
        async with task_states(settings) as state_of:
            return [await state_of(letter) for letter in letters]
    except (Unavailable, AccessRefused, UsageError) as error:  # the last: a row that cannot be read
        say(f"what their tasks are now is not known: {error}")
        return [None] * len(letters)


async def _unknown(_letter: Letter) -> Status | None:
    return None


def wanted(letter: Letter, ids: Set[str], settings: BrokerSettings) -> bool:
    """Called by its id; without ids, all that this queue refused: several queues may share their dead letters."""
    return bool(ids & letter.ids) if ids else letter.dead.queue in (None, settings.queue)


def say_unknown(ids: Set[str], settings: BrokerSettings) -> int:
    """Tell of ids that no letter has; the exit code."""
    for id_ in sorted(ids):
        say(f"no dead letter {id_} in {settings.dead_letters}")
    return EX_FAILED
