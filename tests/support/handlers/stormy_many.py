"""A handler that has many tasks at once, and is as bad as one can be with each of them, like `stormy.py`."""

import json
import os
import random
import signal
import sys
import threading
import time

TROUBLE, AT_ONCE = float(sys.argv[1]), int(sys.argv[2])
chance = random.Random()
events = os.open(os.environ["GRIDSIDECAR_EVENTS"], os.O_WRONLY | os.O_APPEND)
lock = threading.Lock()
seen = ["nobody"]
has: dict[str, threading.Event] = {}


def send(**message: object) -> None:
    with lock:
        os.write(events, json.dumps(message).encode() + b"\n")


def answer(task: dict) -> None:
    has.pop(task["task_id"], None)
    send(type="result", task_id=task["task_id"], result={"id": task["task_id"], "n": task["data"]["n"]})


def misbehave(task: dict) -> None:
    kind = chance.choices(["killed", "exit", "hang", "stale", "twice", "last words"], [4, 4, 1, 6, 6, 3])[0]
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exit":
        os._exit(chance.choice([0, 1, 75]))
    if kind == "hang":
        time.sleep(1000)
    for other in set(chance.choices(seen, k=5)) - set(has):  # of one that it has, it would be an answer
        send(type="checkpoint", task_id=other, data="stale")
        send(type=chance.choice(["result", "error"]), task_id=other, result="stale", error="stale")
    if kind == "twice":
        answer(task)
    if kind == "last words":
        answer(task)
        os.kill(os.getpid(), signal.SIGKILL)


def work(task: dict, cancelled: threading.Event) -> None:
    if cancelled.wait(chance.random() * 0.01):
        send(type="error", task_id=task["task_id"], error="cancelled")
        return
    if chance.random() < TROUBLE:
        misbehave(task)
    answer(task)
    seen.append(task["task_id"])
    del seen[:-50]


send(type="ready", capabilities=["cancel"], concurrency=AT_ONCE)
for line in sys.stdin.buffer:
    given = json.loads(line)
    if given["type"] == "cancel":
        (has.get(given["task_id"]) or threading.Event()).set()
        continue
    assert given["run"]["checkpoint"] is None
    assert len(has) < AT_ONCE
    has[given["task_id"]] = threading.Event()
    threading.Thread(target=work, args=(given, has[given["task_id"]]), daemon=True).start()
