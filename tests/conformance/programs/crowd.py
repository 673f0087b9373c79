"""A handler of many tasks at once with one fault, which its first argument names; without one it does all right."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from typing import Any

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
events = open(os.environ.get("GRIDSIDECAR_EVENTS", "/dev/stdout"), "ab", buffering=0)  # noqa: SIM115
running: dict[str, asyncio.Task[None]] = {}


def say(**message: object) -> None:
    events.write(json.dumps({"gs": 1, **message}).encode() + b"\n")


async def attempt(task: dict[str, Any]) -> None:
    name, data = task["task_id"], task["data"]
    try:
        if FAULT == "serial" and data.get("case") != "stop":
            time.sleep(data.get("seconds", 0.1))
        else:
            await asyncio.sleep(60 if data.get("case") == "stop" else data.get("seconds", 0.1))
        if FAULT == "loses-one" and name.endswith("-3"):
            return
        if data.get("case") == "fail":
            say(type="error", task_id=name, error="it broke")
            return
        result = {"attempt": 1, "checkpoint": None, "task_id": name} if data.get("case") == "full" else data
        say(type="result", task_id=name, result=result)
        if FAULT == "twice" and name.endswith("-3"):
            say(type="result", task_id=name, result=result)
    except asyncio.CancelledError:
        say(type="error", task_id=name, error="cancelled")
    finally:
        running.pop(name, None)


def take(message: dict[str, Any]) -> None:
    if message["type"] == "task":
        running[message["task_id"]] = asyncio.ensure_future(attempt(message))
    elif message["type"] == "cancel" and message["task_id"] in running:
        for each in [*running.values()] if FAULT == "cancels-all" else [running[message["task_id"]]]:
            asyncio.get_running_loop().call_soon(each.cancel)  # once it has begun


async def main() -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def read() -> None:
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(take, json.loads(line))
        loop.call_soon_threadsafe(over.set)

    at_once = {"zero": 0, "text": "9"}.get(FAULT, 10)
    say(type="ready", capabilities=[] if FAULT == "no-cancel" else ["cancel"], concurrency=at_once)
    threading.Thread(target=read, daemon=True).start()
    await over.wait()
    if FAULT == "leaves":
        os._exit(0)
    while running:
        await asyncio.wait(running.values())


asyncio.run(main())
