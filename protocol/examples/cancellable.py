#!/usr/bin/env python3
# A process that stays, gives a task up when it is asked to, and goes on from the last checkpoint.
import json
import os
import queue
import sys
import threading

events = open(os.environ.get("GRIDSIDECAR_EVENTS", "/dev/stdout"), "ab", buffering=0)
tasks = queue.SimpleQueue()
stops = {}  # by (task_id, attempt), of what is not over: a cancel that comes late must not hit the next attempt


def say(**message):
    events.write(json.dumps({"gs": 1, **message}).encode() + b"\n")


def work(task, stop):
    about = {"task_id": task["task_id"]}
    step = (task["run"]["checkpoint"] or {}).get("step", 0)
    while step < task["data"].get("steps", 3):
        if stop.wait(task["data"].get("seconds", 0.01)):
            say(type="error", error="given up", error_type="GivenUp", retryable=False, **about)
            return
        step += 1
        say(type="checkpoint", data={"step": step}, **about)
    say(type="result", result={"steps": step}, **about)


def listen():
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message["type"] == "cancel":
            if stop := stops.get((message["task_id"], message["attempt"])):
                stop.set()
        elif message["type"] == "task":
            stops[message["task_id"], message["run"]["attempt"]] = threading.Event()
            tasks.put(message)
    tasks.put(None)


threading.Thread(target=listen, daemon=True).start()
say(type="ready", capabilities=["cancel"])
while (task := tasks.get()) is not None:
    attempt = (task["task_id"], task["run"]["attempt"])
    work(task, stops[attempt])
    del stops[attempt]
