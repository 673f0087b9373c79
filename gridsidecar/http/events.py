"""News of one task as server-sent events, until its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response, StreamingResponse

from gridsidecar.http.access import Access
from gridsidecar.http.answers import json_bytes
from gridsidecar.http.api import Api
from gridsidecar.http.app import Endpoint
from gridsidecar.http.call import Call
from gridsidecar.http.problems import Problem, unknown_task
from gridsidecar.shapes import task_object
from gridsidecar.task import Status

MOST_STREAMS = 1000
QUIET_LOOKS = 15  # about seconds, after which a comment shows that the stream lives
RECONNECT = b"retry: 2000\n\n"  # milliseconds
ENDED = tuple(status for status in Status if status.terminal)


async def events(api: Api, call: Call) -> Response:
    """An event `task` for each change, its `id` the row's revision, then `end`. `Last-Event-ID` leaves out what the
    client has seen."""
    call.only()
    if api.watch.count >= MOST_STREAMS:
        raise Problem(503, "too-many-streams", "Too many streams are open; ask for the task now and then instead.")
    store = await api.store()
    task_id = call.path("task_id")
    if task_id not in (first := await store.reading.some([task_id])):
        raise unknown_task(task_id)
    stream = _stream(api, task_id, first[task_id], call.request.headers.get("last-event-id", ""))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(stream, headers=headers, media_type="text/event-stream")


async def _stream(api: Api, task_id: str, view: Any, seen: str) -> AsyncIterator[bytes]:
    yield RECONNECT
    looks = api.watch.looks(task_id)
    quiet = 0
    while True:
        if view is None:  # retention took it
            yield b"event: end\ndata: null\n\n"
            return
        if str(view["rev"]) != seen:
            seen, quiet = str(view["rev"]), 0
            yield _event("task", seen, api.hiding.object(task_object(view)))
        if view["status"] in ENDED:
            yield _event("end", seen, api.hiding.object(task_object(view)))
            return
        quiet += 1
        if quiet % QUIET_LOOKS == 0:
            yield b": still here\n\n"
        try:
            view = await anext(looks)
        except StopAsyncIteration:  # the server stops: the client connects again, elsewhere
            return


def _event(name: str, id_: str, value: Any) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (id_.encode(), name.encode(), json_bytes(value))


ENDPOINTS = (Endpoint("GET", "/v1/tasks/{task_id}/events", Access.READ, events),)
