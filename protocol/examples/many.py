#!/usr/bin/env python3
# One process for many tasks at once; each waits `data.seconds`, or until it is cancelled.
import asyncio
import json
import os
import sys
import threading

events = open(os.environ.get("GRIDSIDECAR_EVENTS", "/dev/stdout"), "ab", buffering=0)
running = {}


def say(**message):
    events.write(json.dumps({"gs": 1, **message}).encode() + b"\n")


async def attempt(task):
    try:
        seconds = task["data"].get("seconds", 1)
        await asyncio.sleep(seconds)
        say(type="result", task_id=task["task_id"], result={"seconds": seconds})
    except asyncio.CancelledError:
        say(type="error", task_id=task["task_id"], error="cancelled", error_type="GivenUp")
    except Exception as error:
        say(type="error", task_id=task["task_id"], error=str(error), error_type=type(error).__name__)
    finally:
        del running[task["task_id"]]


def take(message):
    if message["type"] == "task":
        running[message["task_id"]] = asyncio.ensure_future(attempt(message))
    elif message["type"] == "cancel" and message["task_id"] in running:
        asyncio.get_running_loop().call_soon(running[message["task_id"]].cancel)  # once it has begun


async def main():
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def read():
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(take, json.loads(line))
        loop.call_soon_threadsafe(over.set)

    say(type="ready", capabilities=["cancel"], concurrency=10)
    threading.Thread(target=read, daemon=True).start()
    await over.wait()
    while running:
        await asyncio.wait(running.values())


asyncio.run(main())
