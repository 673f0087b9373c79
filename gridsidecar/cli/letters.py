"""What became of the tasks of dead letters, and words for letters that are not there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set
from contextlib import asynccontextmanager

from gridsidecar.cli.parts import existing_store
from gridsidecar.cli.screen import say
from gridsidecar.config.settings import BrokerSettings, Settings
from gridsidecar.dead_letters import Letter
from gridsidecar.errors import EX_FAILED, AccessRefused, Unavailable, UsageError
from gridsidecar.task import Status

StateOf = Callable[[Letter], Awaitable[Status | None]]


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


def say_unknown(ids: Set[str], settings: BrokerSettings) -> int:
    """Tell of ids that no letter has; the exit code."""
    for id_ in sorted(ids):
        say(f"no dead letter {id_} in {settings.dead_letters}")
    return EX_FAILED
