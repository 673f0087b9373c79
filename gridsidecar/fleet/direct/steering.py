"""Cancels and retries by the store, and the broker for what runs again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from gridsidecar.errors import AccessRefused, BrokerUnavailable, GridSidecarError
from gridsidecar.fleet import Found, Outcomes
from gridsidecar.fleet.direct.parts import Parts
from gridsidecar.operations.shapes import operation_object
from gridsidecar.operations.steering import RULES, Driver
from gridsidecar.rules.steering import Steered
from gridsidecar.store import Filter, OperationKind, Store

if TYPE_CHECKING:
    from gridsidecar.views import OperationView, SteeredTask

AT_ONCE = 500  # ids


class DirectSteering:
    """Where there is no store, there are no tasks."""

    goes_on = "a worker goes on with it within a minute, or `gridsidecar operations resume {operation}`"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._driver: Driver | None = None

    @property
    def unsent(self) -> str | None:
        return None if self._driver is None else self._driver.unsent

    async def _driver_of(self, store: Store, kind: OperationKind) -> Driver:
        """A retry holds without a broker, too: then workers bring its tasks back."""
        if self._driver is None and kind is OperationKind.CANCEL:
            self._driver = Driver(store, None)
        elif self._driver is None:
            broker = self._parts.broker()
            try:
                await broker.open()
            except (BrokerUnavailable, AccessRefused) as error:
                self._driver = Driver(store, None, str(error))
            else:
                self._driver = Driver(store, broker)
        return self._driver

    async def steer(self, kind: OperationKind, ids: Sequence[str]) -> Outcomes:
        store = await self._parts.store()
        if store is None:
            return dict.fromkeys(ids, Steered.NOT_FOUND)
        return await (await self._driver_of(store, kind)).steer(kind, ids)

    async def count(self, kind: OperationKind, chosen: Filter) -> Found:
        store = await self._parts.store()
        return Found(0 if store is None else await store.operations.count(chosen), chosen.to_dict())

    async def preview(self, kind: OperationKind, ids: Sequence[str], chosen: Filter) -> AsyncIterator[Outcomes]:
        store = await self._parts.store()
        if store is None:
            if ids:
                yield dict.fromkeys(ids, Steered.NOT_FOUND)
            return
        async for page in _pages(ids) if ids else store.operations.choose(chosen):
            yield await store.steering.preview(page, RULES[kind])

    async def begin(self, kind: OperationKind, ids: Sequence[str], chosen: Filter, spread: float) -> str:
        store = await self._made()
        if ids:
            return await store.operations.begin_with(kind, ids, spread)
        return await store.operations.begin(kind, chosen, spread)

    async def drive(self, operation: str) -> AsyncIterator[Outcomes]:
        store = await self._made()
        known = await store.operations.get(operation)
        kind = OperationKind.CANCEL if known is None else known.kind  # to drive it says that there is none
        async for outcomes in (await self._driver_of(store, kind)).drive(operation):
            yield outcomes

    async def leave(self, operation: str) -> None:
        """Nobody has to wait for us to be given up."""
        with suppress(GridSidecarError):
            await (await self._made()).operations.leave(operation)

    async def _made(self) -> Store:
        store = await self._parts.store()
        if store is None:
            raise GridSidecarError("there are no tables yet: no worker has run with this store")
        return store

    # -- operations ---------------------------------------------------------------------------------------------------

    async def operations(self, limit: int) -> list[OperationView]:
        store = await self._parts.store()
        newest = [] if store is None else await store.operations.newest(limit)
        return [await self._shown(one.id) for one in newest]

    async def operation(self, operation: str) -> OperationView | None:
        store = await self._parts.store()
        known = None if store is None else await store.operations.get(operation)
        return None if known is None else await self._shown(operation)

    async def _shown(self, operation: str) -> OperationView:
        store = await self._made()
        known = await store.operations.get(operation)
        assert known is not None
        counts = await store.operations.outcomes(operation)
        shown = operation_object(known, counts)
        shown["outcomes"] = counts
        return shown

    async def results(self, operation: str) -> AsyncIterator[SteeredTask]:
        store, after = await self._made(), -1
        while tasks := await store.operations.tasks(operation, after):
            for one in tasks:
                yield {"task_id": one.task_id, "outcome": one.outcome}
            after = tasks[-1].position

    async def stop(self, operation: str) -> bool:
        store = await self._parts.store()
        return store is not None and await store.operations.stop(operation)


async def _pages(ids: Sequence[str]) -> AsyncIterator[list[str]]:
    for start in range(0, len(ids), AT_ONCE):
        yield list(ids[start : start + AT_ONCE])
