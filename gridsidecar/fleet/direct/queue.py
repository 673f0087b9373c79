"""The work queue and its dead letters on the broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from typing import TYPE_CHECKING

from gridsidecar.config.handled_types import hint_of
from gridsidecar.errors import AccessRefused, GridSidecarError, Unavailable
from gridsidecar.fleet import LetterPage, ReplayResult, Submitted
from gridsidecar.fleet.direct.parts import Parts
from gridsidecar.operations.dead_letters import Letter, letters_of, replay, wanted
from gridsidecar.operations.shapes import letter_in_full, letter_object, queue_object
from gridsidecar.operations.submitting import Submitter, Unconfirmed
from gridsidecar.rules.task import Status, Task
from gridsidecar.store import RowRejected

if TYPE_CHECKING:
    from gridsidecar.views import LetterInFull, LetterView, QueueView


class DirectQueue:
    at_a_time = 64

    def __init__(self, parts: Parts, place: str) -> None:
        self._parts = parts
        self._settings = parts.settings.broker
        self.place = place
        self._submitter: Submitter | None = None
        self._storeless: str | None = None

    async def info(self) -> QueueView:
        return queue_object(await self._parts.broker().info(), self._settings)

    async def open(self) -> None:
        broker = self._parts.broker()
        await broker.open()
        try:
            store = await self._parts.store_to_write()
        except GridSidecarError as error:  # a producer needs no store
            store, self._storeless = None, str(error)
        self._submitter = Submitter(broker, None if store is None else store.prewritten, self._parts.settings)

    @property
    def without_rows(self) -> str | None:
        return self._storeless if self._submitter is None else self._storeless or self._submitter.without_rows

    async def submit(self, task: Task, confirmed: Callable[[str], None]) -> Submitted:
        assert self._submitter is not None, "it is open"
        done = await self._submitter.send(task, confirmed)
        owed = done.why if isinstance(done, Unconfirmed) else None
        return Submitted(owed, hint_of(self._parts.settings, task.task_type))

    # -- dead letters -------------------------------------------------------------------------------------------------

    async def letters(self, limit: int) -> LetterPage:
        found: list[Letter] = []
        more = False
        async with letters_of(self._parts.broker(), self._settings) as letters:
            async for letter in letters:
                more = len(found) == limit
                if more:
                    break
                found.append(letter)
        try:
            states, unknown = [await self._state_of(letter) for letter in found], ""
        except (Unavailable, AccessRefused, RowRejected) as error:  # the last: a row that cannot be read
            states, unknown = [None] * len(found), str(error)
        shown = [letter_object(letter) for letter in found]
        for one, state in zip(shown, states, strict=True):
            one["task_status"] = state
        return LetterPage(shown, more, unknown)

    async def _state_of(self, letter: Letter) -> Status | None:
        store = await self._parts.store()
        newest = await store.output.newest(letter.task_id) if store and letter.task_id else None
        return newest and newest[0]

    async def letter(self, id_: str) -> list[LetterInFull]:
        async with letters_of(self._parts.broker(), self._settings) as letters:
            return [letter_in_full(letter) async for letter in letters if id_ in letter.ids]

    async def replay(self, ids: Collection[str]) -> AsyncIterator[ReplayResult]:
        store, broker = await self._parts.store(), self._parts.broker()
        assert store is not None, "its tables are made: it may be before the first worker"
        await broker.open()
        async for one in replay(broker, store, self._settings, set(ids)):
            yield ReplayResult(letter_object(one.letter), one.outcome.value, one.detail)

    async def drop(self, ids: Collection[str], succeeded: bool) -> AsyncIterator[LetterView | None]:
        async with letters_of(self._parts.broker(), self._settings) as letters:
            async for letter in letters:
                if not wanted(letter, set(ids), self._settings):
                    continue
                if not succeeded or await self._state_of(letter) is Status.SUCCESS:
                    await letter.dead.remove()
                    yield letter_object(letter)
