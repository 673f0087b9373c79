"""A handler that stays. `data.do` of each task says what; the arguments say how it starts and ends."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time

START = sys.argv[1] if len(sys.argv) > 1 else "ready"
CAPABILITIES = ["cancel"] if START == "ready-cancel" else []


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


EVENTS = 1 if START == "ready-stdout" else os.open(os.environ["GRIDSIDECAR_EVENTS"], os.O_WRONLY | os.O_APPEND)


def send(kind: str, task: dict | None = None, **fields: object) -> None:
    about = {} if task is None else {"task_id": task["task_id"]}
    write_all(EVENTS, json.dumps({"gs": 1, "type": kind, **about, **fields}).encode() + b"\n")


def answer(task: dict, **fields: object) -> None:
    send("result", task, result={"pid": os.getpid(), "echo": task["data"], **fields})


# -- what a task may ask for ------------------------------------------------------------------------------------------


def echo(task: dict) -> None:
    answer(task)


def say(task: dict) -> None:
    """Text on both streams before the result, and after it."""
    os.write(1, b"out of %s\n" % task["task_id"].encode())
    os.write(2, b"err of %s\n" % task["task_id"].encode())
    answer(task)


def say_late(task: dict) -> None:
    answer(task)
    time.sleep(0.1)
    os.write(1, b"after %s\n" % task["task_id"].encode())


def all_events(task: dict) -> None:
    send("progress", task, progress=30, progress_message="a third")
    send("log", task, level="warning", message="slow", fields={"ms": 1})
    send("heartbeat")
    send("log", message="a log needs no address")
    send("checkpoint", task, data={"page": 3})
    send("progress", progress=99)
    answer(task)


def fail(task: dict) -> None:
    send("error", task, error="429", error_type="RateLimited", retryable=True, retry_after_s=3)


def crash(task: dict) -> None:
    os.write(2, b"about to crash\n")
    os.kill(os.getpid(), getattr(signal, "SIG" + task["data"].get("signal", "SEGV")))


def leave(task: dict) -> None:
    sys.exit(task["data"]["code"])


def answer_and_leave(task: dict) -> None:
    answer(task)
    os._exit(task["data"]["code"])


def hang(task: dict) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


def rest(task: dict) -> None:
    time.sleep(task["data"]["s"])
    answer(task)


def late(task: dict) -> None:
    """Answers only when it is told to end."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    while not told.wait(0.01):
        pass
    answer(task)
    time.sleep(0.2)
    sys.exit(0)


def until_cancelled(task: dict) -> None:
    message = json.loads(sys.stdin.readline())
    kind = task["data"].get("then", "error")
    if kind == "error":
        send("error", task, error="gave up", message=message)
    elif kind == "result":
        answer(task, told=message)
    elif kind == "nothing":
        hang(task)


def twice(task: dict) -> None:
    answer(task)
    answer(task, second=True)


def stale(task: dict) -> None:
    """Results for tasks that it does not have, then its own."""
    for other in task["data"]["others"]:
        send("result", {"task_id": other}, result="stale")
        send("progress", {"task_id": other}, progress=99)
        send("checkpoint", {"task_id": other}, data="stale")
    send("result", task, attempt=99, result="stale")
    answer(task)


def unaddressed(task: dict) -> None:
    send("result", result="whose?")


def raw(task: dict) -> None:
    """Bytes as they are; then it leaves, where it is to."""
    write_all(EVENTS, base64.b64decode(task["data"]["bytes"]))
    if "code" in task["data"]:
        os._exit(task["data"]["code"])


def again_soon(task: dict) -> None:
    """A second result for this task while the process already has the next one."""
    answer(task)
    named = {"attempt": task["run"]["attempt"]} if task["data"].get("name") else {}
    threading.Timer(task["data"]["s"], lambda: send("result", task, result="stale", **named)).start()


def large(task: dict) -> None:
    answer(task, x="x" * task["data"]["bytes"])


def large_text(task: dict) -> None:
    write_all(1, b"x" * task["data"]["bytes"])
    answer(task)


def close_stdout(task: dict) -> None:
    os.close(1)
    os.close(2)
    answer(task)


def close_channel(task: dict) -> None:
    os.closerange(3, 20)
    time.sleep(60)


def close_stdin(task: dict) -> None:
    answer(task)
    os.close(0)
    time.sleep(60)


def grow(task: dict) -> None:
    globals()["held"] = b"x" * (task["data"]["mib"] * 1024 * 1024)
    answer(task)


def grandchild(task: dict) -> None:
    child = subprocess.Popen(["sleep", "1000"])
    answer(task, child=child.pid)


def environment(task: dict) -> None:
    answer(task, env={name: value for name, value in os.environ.items() if name.startswith(("GRID", "TRACE"))})


def die_soon(task: dict) -> None:
    answer(task)
    threading.Timer(task["data"]["s"], lambda: os._exit(7)).start()


# -- its life ---------------------------------------------------------------------------------------------------------


def start() -> None:
    if START == "exit-0":
        sys.exit(0)
    if START == "exit":
        os.write(2, b"no model here\n")
        sys.exit(3)
    if START == "silent":
        time.sleep(1000)
    if START == "error":
        send("error", error="the model is missing")
        time.sleep(1000)
    if START == "garbage":
        os.write(1, b'hello\n{"gs":1,"type":"result","result":1}\n{"a":1}\n')
        write_all(EVENTS, b'rubbish\n{"type":"progress","progress":3}\n{"type":"result","result":"early"}\n')
    if START == "slow":
        time.sleep(0.3)
    if START == "once":  # ready, and gone
        send("ready")
        sys.exit(0)
    send("ready", sdk="test/1", capabilities=CAPABILITIES)


start()
if "JOURNAL" in os.environ:
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(f"{os.getpid()}\n")
while line := sys.stdin.readline():
    given = json.loads(line)
    if given["type"] == "task":
        globals()[given["data"]["do"].replace("-", "_")](given)
if len(sys.argv) > 2 and sys.argv[2] == "stay":  # deaf to the end of input
    time.sleep(1000)
