"""A handler that stays, and is as bad as one can be: it crashes, hangs, answers for others, twice and late."""

import json
import os
import random
import signal
import sys
import time

TROUBLE = float(sys.argv[1])  # the part of all tasks that go wrong
chance = random.Random()
events = os.open(os.environ["GRIDSIDECAR_EVENTS"], os.O_WRONLY | os.O_APPEND)
seen = ["nobody"]


def send(**message: object) -> None:
    os.write(events, json.dumps(message).encode() + b"\n")


def answer(task: dict) -> None:
    send(type="result", task_id=task["task_id"], result={"id": task["task_id"], "n": task["data"]["n"]})


def misbehave(task: dict) -> bool:
    """True when an answer is still to come."""
    kind = chance.choices(["killed", "exit", "hang", "stale", "twice", "last words"], [4, 4, 1, 6, 6, 3])[0]
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exit":
        sys.exit(chance.choice([0, 1, 75]))
    if kind == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1000)
    for other in chance.choices(seen, k=5):
        send(type="checkpoint", task_id=other, data="stale")
        send(type=chance.choice(["result", "error"]), task_id=other, result="stale", error="stale")
    if kind == "twice":
        answer(task)
    if kind == "last words":
        answer(task)
        os.kill(os.getpid(), signal.SIGKILL)
    return True


send(type="ready")
while line := sys.stdin.readline():
    given = json.loads(line)
    assert given["run"]["checkpoint"] is None
    if chance.random() < TROUBLE:
        misbehave(given)
    answer(given)
    if given["task_id"] not in seen:
        seen = [*seen[-50:], given["task_id"]]
