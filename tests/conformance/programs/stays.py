"""A persistent handler with one fault, which its first argument names; without one it does everything right."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
events = open(os.environ.get("GRIDSIDECAR_EVENTS", "/dev/stdout"), "ab", buffering=0)  # noqa: SIM115


firsts: dict[str, object] = {}


def say(**message: object) -> None:
    events.write(json.dumps({"gs": 1, **message}).encode() + b"\n")


def work(task: dict[str, object], cancelled: threading.Event) -> None:
    about = {} if FAULT == "no-task-id" else {"task_id": task["task_id"]}
    if FAULT == "first-task-id":
        about["task_id"] = firsts.setdefault("task_id", task["task_id"])
    say(type="progress", progress=50, **about)
    if FAULT == "other-channel":
        print(json.dumps({"gs": 1, "type": "log", "message": "x", **about}), flush=True)
    run = task["run"]
    assert isinstance(run, dict)
    if FAULT == "bad-checkpoint" and run["checkpoint"] is not None:
        say(type="error", error="what is that checkpoint?", **about)
        return
    say(type="checkpoint", data={"page": 1}, **about)
    if FAULT == "from-the-start":
        say(type="checkpoint", data={"page": 2}, **about)
    data = task["data"]
    assert isinstance(data, dict)
    if cancelled.wait(60 if data.get("case") == "stop" else 0.1):
        if FAULT == "leaves-on-cancel":
            sys.exit(3)
        if FAULT == "ends-on-cancel":
            os.kill(os.getpid(), signal.SIGTERM)
        if FAULT == "exits-on-cancel":
            os._exit(143)
        say(type="error", error="cancelled", error_type="Cancelled", **about)
        return
    say(type="result", result={"pid": os.getpid()}, **about)
    if FAULT == "talks-on":
        say(type="progress", progress=100, **about)


def main() -> None:
    if FAULT == "early":
        say(type="heartbeat")
    if FAULT == "never-ready":
        time.sleep(60)
    if FAULT == "cannot-start":
        say(type="error", error="the model is missing")
        time.sleep(60)
    if FAULT == "buffers-ready":
        sys.stdin.buffer.read()
    say(type="ready", sdk="test/1", capabilities=[] if FAULT == "no-cancel" else ["cancel"])
    running: tuple[object, threading.Event] | None = None
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message["type"] == "cancel":
            mine = running is not None and (running[0] == message["task_id"] or FAULT == "any-cancel")
            if running is not None and mine and FAULT != "ignores-cancel":
                running[1].set()
        elif message["type"] == "task" or FAULT == "any-type":
            cancelled = threading.Event()
            running = (message["task_id"], cancelled)
            thread = threading.Thread(target=run_one, args=(message, cancelled))
            thread.start()
            if FAULT == "one-task":
                thread.join()
                os._exit(0)
    if FAULT == "outlives-stdin":
        time.sleep(60)
    sys.exit(4 if FAULT == "exit-4" else 0)


def run_one(task: dict[str, object], cancelled: threading.Event) -> None:
    try:
        work(task, cancelled)
    except SystemExit as end:
        os._exit(int(end.code or 0))


main()
