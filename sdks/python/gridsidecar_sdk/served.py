"""An ASGI application that runs the tasks which a sidecar posts: for uvicorn and its like, or inside another one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import traceback
from collections.abc import Awaitable, Mapping
from typing import Any, Callable, Optional, Union

from gridsidecar_sdk.channel import line_of
from gridsidecar_sdk.context import Context, current
from gridsidecar_sdk.crowd import is_async
from gridsidecar_sdk.encoding import Default
from gridsidecar_sdk.errors import Permanent, Retry, Stopped, error_event
from gridsidecar_sdk.functions import choose_from, table_of
from gridsidecar_sdk.threads import in_thread
from gridsidecar_sdk.worker import Function

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LINES = [(b"content-type", b"application/x-ndjson")]
NO_TASK = b"this address takes the tasks of gridsidecar: POST one as JSON (mode: http)\n"


class TaskApp:
    """Each request is a task, its answer what the function reports. When the connection is closed, the task is stopped:
    an asynchronous function is cancelled, in any other `Stopped` is raised, in a thread of its own."""

    def __init__(
        self, functions: Union[Function, Mapping[str, Function], None] = None, *, default: Default = None
    ) -> None:
        """As for `run`."""
        self._choose = choose_from(table_of(functions))
        self._default = default

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            task = _task_of(await _body(receive)) if scope["method"] == "POST" else None
            await (self._run(task, receive, send) if task is not None else _refuse(send))

    async def _run(self, task: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": LINES})
        answer = _Answer(send)
        work = asyncio.ensure_future(self._attempt(Context(answer, task, {})))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            work.cancel()  # where it has not ended, nobody listens any more
            await asyncio.wait({work, gone})
            await answer.end()

    async def _attempt(self, context: Context) -> None:
        current.set(context)
        event: Optional[Message] = None
        try:
            event = {"type": "result", "result": await _called(self._choose(context.task_type), context)}
        except (Retry, Permanent) as error:
            event = error_event(error)
        except asyncio.CancelledError:
            raise
        except (Exception, Stopped) as error:
            traceback.print_exc()
            event = error_event(error)
        finally:
            context.finish(event, self._default)


class _Answer:
    """Lines on their way, from the function, in whatever thread it is, to the connection."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[Optional[bytes]] = asyncio.Queue()
        self._writing = asyncio.ensure_future(self._write())

    def send(self, event: Message, default: Default = None) -> None:
        line = line_of(event, default)
        with contextlib.suppress(RuntimeError):  # the loop is closed: a thread outlives its server
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)

    async def end(self) -> None:
        self._loop.call_soon(self._lines.put_nowait, None)  # behind all that was said
        await self._writing

    async def _write(self) -> None:
        while (line := await self._lines.get()) is not None:
            await self._put(line, more=True)
        await self._put(b"", more=False)

    async def _put(self, data: bytes, *, more: bool) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            await self._send({"type": "http.response.body", "body": data, "more_body": more})


async def _called(function: Function, context: Context) -> Any:
    if is_async(function):
        found = function(context, context.data)
    else:
        found = await in_thread(function, context, context.data)
    return await found if hasattr(found, "__await__") else found


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return b"".join(parts)


def _task_of(body: bytes) -> Optional[Message]:
    try:
        message = json.loads(body)
    except ValueError:
        return None
    return message if isinstance(message, dict) and message.get("type") == "task" else None


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Send) -> None:
    await send({"type": "http.response.start", "status": 400, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": NO_TASK})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
