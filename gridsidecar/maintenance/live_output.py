"""What running attempts say gets into the database while they say it: what is new, of many attempts in one go."""

from __future__ import annotations

import asyncio

from gridsidecar import telemetry
from gridsidecar.delivery.worker import HeldAttempt, Worker
from gridsidecar.errors import GridSidecarError
from gridsidecar.handler.live import LiveText
from gridsidecar.store import Output, RowRejected

STORE_EVERY = 1.0  # seconds; an attempt that is shorter costs nothing
AT_ONCE = 16  # attempts whose news are in memory a second time, on their way


class LiveOutput:
    """Never a reason to fail or to delay an attempt: while the database is away, it is stored later."""

    def __init__(self, worker: Worker, store: Output) -> None:
        self._worker = worker
        self._store = store
        self._rejected: set[tuple[str, int]] = set()  # attempts whose output the database does not take

    async def store_news(self) -> None:
        """One round over all attempts that have run for a while."""
        talking = [held for held in self._worker.attempts if held.log is not None and self._is_due(held)]
        self._rejected &= {_name(held) for held in talking}
        for start in range(0, len(talking), AT_ONCE):
            await asyncio.gather(*[self._store_of(held) for held in talking[start : start + AT_ONCE]])

    def _is_due(self, held: HeldAttempt) -> bool:
        return held.slot.running and not held.handler_ended and held.slot.held_for >= STORE_EVERY

    async def _store_of(self, held: HeldAttempt) -> None:
        """Writes nothing once the attempt has ended: its end removes what is there."""
        if held.handler_ended or held.log is None or not held.log.total or _name(held) in self._rejected:
            return
        live = held.live = held.live or LiveText(held.log)
        news = live.news()
        if not news.parts:
            return
        held.output_stored = True
        try:
            if await self._store.write(held.claim, news):
                live.stored(news)
        except RowRejected as error:
            self._rejected.add(_name(held))
            told = {"task_id": held.claim.task_id, "attempt": held.claim.attempt}
            telemetry.warning("output cannot be stored while the task runs", **told, reason=str(error))
        except GridSidecarError as error:
            telemetry.debug("output not stored yet", task_id=held.claim.task_id, reason=str(error))


def _name(held: HeldAttempt) -> tuple[str, int]:
    return held.claim.task_id, held.claim.attempt
