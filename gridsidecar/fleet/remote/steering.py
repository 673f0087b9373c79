"""Cancels and retries by the API: the server carries them out, and tells how far they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from gridsidecar.clock import SystemClock
from gridsidecar.errors import GridSidecarError
from gridsidecar.fleet import Found, Outcomes
from gridsidecar.fleet.remote.requests import ApiRefused, Requests, quoted
from gridsidecar.rules.steering import Steered
from gridsidecar.store import Filter, NotDriven, OperationKind

if TYPE_CHECKING:
    from gridsidecar.views import OperationView, SteeredTask

POLL_EVERY = 0.3  # seconds
MOST = 200  # results of an operation in one answer
AT_ONCE = 500  # ids in one request


class RemoteSteering:
    goes_on = "the server goes on with it; `gridsidecar operations show {operation}` tells how far it is"
    unsent: str | None = None  # the server's own care

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._clock = SystemClock()

    async def steer(self, kind: OperationKind, ids: Sequence[str]) -> Outcomes:
        return {task_id: await self._one(kind, task_id) for task_id in dict.fromkeys(ids)}

    async def _one(self, kind: OperationKind, task_id: str) -> Steered:
        if not task_id:
            return Steered.NOT_FOUND
        try:
            told = await self._requests.post(f"/v1/tasks/{quoted(task_id)}/{kind}")
        except ApiRefused as refused:
            return _outcome(refused)
        return Steered(told["outcome"])

    async def count(self, kind: OperationKind, chosen: Filter) -> Found:
        told = await self._dry_run(kind, {"filter": _body(chosen)})
        return Found(told["count"], told["filter"])

    async def preview(self, kind: OperationKind, ids: Sequence[str], chosen: Filter) -> AsyncIterator[Outcomes]:
        if ids:
            for start in range(0, len(ids), AT_ONCE):
                yield _outcomes(await self._dry_run(kind, {"ids": list(ids[start : start + AT_ONCE])}))
            return
        asked: dict[str, Any] = {"filter": _body(chosen)}
        while True:
            told = await self._dry_run(kind, asked)
            if told["results"]:
                yield _outcomes(told)
            if told["next"] is None:
                return
            asked["after"] = told["next"]

    async def _dry_run(self, kind: OperationKind, asked: dict[str, Any]) -> dict[str, Any]:
        return await self._requests.post(f"/v1/tasks/{kind}", asked | {"dry_run": True})

    async def begin(self, kind: OperationKind, ids: Sequence[str], chosen: Filter, spread: float) -> str:
        """Of however many there are by then: whoever asks has seen a number, and has agreed."""
        asked = {"ids": list(ids)} if ids else {"filter": _body(chosen), "expected_count": None}
        over = {"over": f"{spread:.3f}s"} if spread else {}
        try:
            begun = await self._requests.post(f"/v1/tasks/{kind}", asked | over)
        except ApiRefused as refused:
            raise GridSidecarError(str(refused)) from None
        return str(begun["operation"])

    async def drive(self, operation: str) -> AsyncIterator[Outcomes]:
        """The server does it, and this looks on. Whoever has ended it is told as where it is driven from here."""
        path, after = f"/v1/operations/{quoted(operation)}", None
        while True:
            told = await self._requests.found(path, unless="unknown-operation", after=after, limit=MOST)
            if told is None:
                raise NotDriven(f"there is no operation {operation}; `gridsidecar operations list` shows them")
            done = _done(told["results"])
            if done:
                after = done[-1]["position"]
                yield {one["task_id"]: Steered(one["outcome"]) for one in done}
            elif told["state"] == "count_changed":
                raise NotDriven(f"the operation {operation} found another number of tasks, and did nothing")
            elif told["ended_at"] is not None and told["results"]:
                raise NotDriven(f"the operation {operation} was ended by somebody before all was done")
            elif told["ended_at"] is not None:
                return
            if len(done) < MOST:
                await self._clock.sleep(POLL_EVERY)

    async def leave(self, operation: str) -> None:
        """It is the server's."""

    # -- operations ---------------------------------------------------------------------------------------------------

    async def operations(self, limit: int) -> list[OperationView]:
        found = await self._requests.get("/v1/operations", limit=min(limit, MOST))
        return [row for one in found["operations"] if (row := await self.operation(one["operation"])) is not None]

    async def operation(self, operation: str) -> OperationView | None:
        if not operation:
            return None
        told = await self._requests.found(f"/v1/operations/{quoted(operation)}", unless="unknown-operation", limit=0)
        if told is None:
            return None
        return cast("OperationView", {name: told[name] for name in told if name not in ("results", "next")})

    async def results(self, operation: str) -> AsyncIterator[SteeredTask]:
        after = None
        while True:
            told = await self._requests.get(f"/v1/operations/{quoted(operation)}", after=after, limit=MOST)
            for one in told["results"]:
                yield {"task_id": one["task_id"], "outcome": one["outcome"]}
            if told["next"] is None:
                return
            after = told["next"]

    async def stop(self, operation: str) -> bool:
        try:
            await self._requests.post(f"/v1/operations/{quoted(operation)}/stop")
        except ApiRefused as refused:
            if refused.kind not in ("wrong-state", "unknown-operation"):
                raise
            return False
        return True


def _body(chosen: Filter) -> dict[str, Any]:
    """The queue is the server's own."""
    return {name: value for name, value in chosen.to_dict().items() if name != "queue"}


def _outcomes(told: dict[str, Any]) -> Outcomes:
    return {one["task_id"]: Steered(one["outcome"]) for one in told["results"]}


def _done(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those before the first that is still to be done."""
    at = next((at for at, one in enumerate(results) if one["outcome"] is None), len(results))
    return results[:at]


def _outcome(refused: ApiRefused) -> Steered:
    """The word of which the server made a problem."""
    if refused.kind == "unknown-task":
        return Steered.NOT_FOUND
    word = refused.kind.replace("-", "_")
    return Steered(f"{word}:{refused.state}" if word == "wrong_state" else word)
