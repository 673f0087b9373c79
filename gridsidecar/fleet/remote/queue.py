"""The work queue and its dead letters by the API."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from typing import TYPE_CHECKING, Any

from gridsidecar.errors import UsageError
from gridsidecar.fleet import LetterPage, ReplayResult, Submitted, TaskRefused
from gridsidecar.fleet.remote.requests import ApiRefused, Requests, quoted
from gridsidecar.rules.task import Task
from gridsidecar.wire.body import body_text

if TYPE_CHECKING:
    from gridsidecar.views import LetterInFull, LetterView, QueueView

WHOLE_QUEUE = 3600.0  # seconds, for an answer about all letters of a queue
MOST_LETTERS = 200  # in one answer, and there is no other


class RemoteQueue:
    without_rows = None  # a server writes them, or submits nothing
    at_a_time = 1  # of several requests nobody knows which one a server takes up first

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self.place = requests.place

    async def info(self) -> QueueView:
        row: QueueView = (await self._requests.get("/v1/queues"))["queues"][0]
        return row

    async def open(self) -> None:
        await self._requests.get("/v1/pauses")

    async def submit(self, task: Task, confirmed: Callable[[str], None]) -> Submitted:
        try:
            told = await self._requests.post("/v1/tasks", body_text(task.message, sys.maxsize).encode())
        except ApiRefused as refused:
            raise TaskRefused(str(refused)) from None
        confirmed(task.task_id)
        return Submitted(hint=told.get("hint"))

    # -- dead letters -------------------------------------------------------------------------------------------------

    async def letters(self, limit: int) -> LetterPage:
        if limit > MOST_LETTERS:
            raise UsageError(f"--limit: an API shows {MOST_LETTERS} dead letters at most")
        told = await self._requests.get("/v1/dead", limit=limit)
        return LetterPage(told["dead"], told["more"])

    async def letter(self, id_: str) -> list[LetterInFull]:
        told = await self._requests.found(f"/v1/dead/{quoted(id_)}", unless="unknown-letter") if id_ else None
        return [] if told is None else list(told["dead"])

    async def replay(self, ids: Collection[str]) -> AsyncIterator[ReplayResult]:
        told = await self._requests.post("/v1/dead/replay", _meant(ids), limit=WHOLE_QUEUE)
        for one in told["letters"]:
            yield ReplayResult(one["letter"], one["outcome"], one["detail"] or "")
        unnamed = Counter(told["outcomes"]) - Counter(one["outcome"] for one in told["letters"])
        for outcome in unnamed.elements():
            yield ReplayResult(None, outcome)

    async def drop(self, ids: Collection[str], succeeded: bool) -> AsyncIterator[LetterView | None]:
        told = await self._requests.post(
            "/v1/dead/drop", {"succeeded": True} if succeeded else _meant(ids), limit=WHOLE_QUEUE
        )
        for one in told["letters"]:
            yield one
        for _ in range(told["dropped"] - len(told["letters"])):
            yield None


def _meant(ids: Collection[str]) -> dict[str, Any]:
    return {"ids": sorted(ids)} if ids else {"all": True}
