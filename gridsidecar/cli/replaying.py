"""Dead letters back to the work queue: reopened in the store, confirmed by the broker, and only then removed."""

from __future__ import annotations

from gridsidecar import wire
from gridsidecar.broker import Broker
from gridsidecar.cli.letter_view import summary
from gridsidecar.cli.letters import Letter, letters_of, say_unknown, wanted
from gridsidecar.cli.parts import connected, is_handled, open_to_wait
from gridsidecar.cli.screen import clean, json_text, say
from gridsidecar.config.settings import Settings
from gridsidecar.errors import EX_FAILED, EX_OK
from gridsidecar.steering import Reopening
from gridsidecar.store import OpenStore, make_store
from gridsidecar.task import Message, Task


async def replay_letters(settings: Settings, ids: set[str], as_json: bool) -> int:
    """Replay the letters of these ids, or without ids all of this queue; the exit code."""
    store = make_store(settings.store, settings.broker.queue)
    try:
        await open_to_wait(store, settings)
        async with connected(settings.broker) as broker:
            await broker.open()
            return await Replay(broker, store, settings, as_json).run(ids)
    finally:
        await store.close()


class Replay:
    """One walk through the dead letters."""

    def __init__(self, broker: Broker, store: OpenStore, settings: Settings, as_json: bool) -> None:
        self._broker = broker
        self._store = store
        self._settings = settings
        self._as_json = as_json
        self._done = 0
        self._left = 0
        self._more = 0  # letters of tasks that were just replayed
        self._sent: set[str] = set()  # tasks

    async def run(self, ids: set[str]) -> int:
        unknown = set(ids)
        try:
            async with letters_of(self._broker, self._settings.broker) as letters:
                async for letter in letters:
                    if wanted(letter, ids, self._settings.broker):
                        unknown -= letter.ids
                        await self._replay(letter)
        finally:
            more = f", {self._more:,} more of the same tasks stay" if self._more else ""
            say(f"{self._done:,} replayed{more}" + (f", {self._left:,} left where they are" if self._left else ""))
        if unknown:
            return say_unknown(unknown, self._settings.broker)
        return EX_FAILED if self._left else EX_OK

    async def _replay(self, letter: Letter) -> None:
        if letter.task_id in self._sent:  # of an earlier failure, or of the next one already: one wish is one retry
            self._more += 1
            return
        match await self._way(letter):
            case str(obstacle):
                self._left += 1
                say(f"{letter.id or 'a letter without an id'}: {obstacle}")
                return
            case message:
                await self._broker.publish(message)
        await letter.dead.remove()
        if letter.task_id:
            self._sent.add(letter.task_id)
        self._done += 1
        print(json_text(summary(letter)) if self._as_json else clean(letter.id), flush=True)
        self._warn(letter)

    def _warn(self, letter: Letter) -> None:
        if isinstance(letter.content, Task) and not is_handled(self._settings, letter.content.task_type):
            say(
                f"{letter.id}: this configuration has no handler for its type {letter.content.task_type}; "
                "it runs only where a worker has one"
            )

    async def _way(self, letter: Letter) -> Message | str:
        """What to publish, for which the task's row waits; or in words why a replay would be in vain."""
        queue = letter.dead.queue
        if queue not in (None, self._settings.broker.queue):
            return f"it was refused on queue {queue}; name that queue with --queue"
        match letter.content:
            case wire.Refused(reason=reason, error=error):
                return f"it would be refused again: {reason}: {error}"
        answer = await self._store.steering.reopen(letter.content.task_id)
        if isinstance(answer, Reopening):
            return letter.dead.message
        state = answer.value.partition(":")[2] or answer.value
        return f"its task has not failed, it is {state}, and drops a message more; `gridsidecar dead drop` removes it"
