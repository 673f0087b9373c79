"""News of one task as server-sent events, until its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gridsidecar.http.access import Access
from gridsidecar.http.answers import json_bytes
from gridsidecar.http.api import Api
from gridsidecar.http.app import Endpoint
from gridsidecar.http.call import Call
from gridsidecar.http.problems import unknown_task
from gridsidecar.operations.shapes import task_object
from gridsidecar.rules.task import Status

if TYPE_CHECKING:
    from gridsidecar.views import TaskSummary

QUIET_POLLS = 15  # about seconds, after which a comment shows that the stream lives
RECONNECT = b"retry: 2000\n\n"  # milliseconds
ENDED = tuple(status for status in Status if status.terminal)


async def events(api: Api, call: Call) -> Response:
    """An event `task` for each change, its `id` the row's revision and whether a pause keeps it, then `end`.
    `Last-Event-ID` leaves out what the client has seen."""
    call.only()
    task_id = call.path("task_id")
    api.watch.enter()
    try:
        if task_id not in (first := await api.summaries([task_id])):
            raise unknown_task(task_id)
        stream = _stream(api, task_id, first[task_id], call.request.headers.get("last-event-id", ""))
        return _Stream(stream, api.watch.leave)
    except BaseException:
        api.watch.leave()
        raise


async def _stream(api: Api, task_id: str, view: TaskSummary | None, seen: str) -> AsyncIterator[bytes]:
    yield RECONNECT
    changes = api.watch.changes(task_id)
    quiet = 0
    while True:
        if view is None:  # retention took it
            yield b"event: end\ndata: null\n\n"
            return
        if _mark(view) != seen:
            seen, quiet = _mark(view), 0
            yield _event("task", seen, api.hiding.object(task_object(view)))
        if view["status"] in ENDED:
            yield _event("end", seen, api.hiding.object(task_object(view)))
            return
        quiet += 1
        if quiet % QUIET_POLLS == 0:
            yield b": still here\n\n"
        try:
            view = await anext(changes)
        except StopAsyncIteration:  # the server stops: the client connects again, elsewhere
            return


class _Stream(StreamingResponse):
    """One of so many. It leaves its place when its client is gone, also before it has begun."""

    def __init__(self, stream: AsyncIterator[bytes], leave: Callable[[], None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
        super().__init__(stream, headers=headers, media_type="text/event-stream")
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


def _mark(view: TaskSummary) -> str:
    """What differs where there is something new to tell."""
    kept = view["paused"]
    return (
        f"{view['rev']}" if kept is None else f"{view['rev']}-{kept['since_at']}-{kept['until_at']}".replace(" ", "T")
    )


def _event(name: str, id_: str, value: Any) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (id_.encode(), name.encode(), json_bytes(value))


ENDPOINTS = (Endpoint("GET", "/v1/tasks/{task_id}/events", Access.READ, events),)
