"""A handler that stays and has many tasks at once, a thread for each. `data.do` says what; the argument how many."""

import json
import os
import signal
import sys
import threading
import time

SAYS = json.loads(sys.argv[1]) if len(sys.argv) > 1 else 100
EVENTS = os.open(os.environ["GRIDSIDECAR_EVENTS"], os.O_WRONLY | os.O_APPEND)
lock = threading.Lock()
cancelled: dict[str, threading.Event] = {}
most = [0]


def write(line: bytes) -> None:
    view = memoryview(line)
    while view:
        view = view[os.write(EVENTS, view) :]


def send(kind: str, task: dict | None = None, **fields: object) -> None:
    about = {} if task is None else {"task_id": task["task_id"]}
    if task is not None and kind in ("result", "error"):
        cancelled.pop(task["task_id"], None)
    with lock:
        write(json.dumps({"gs": 1, "type": kind, **about, **fields}).encode() + b"\n")


def answer(task: dict, **fields: object) -> None:
    send("result", task, result={"pid": os.getpid(), "id": task["task_id"], "most": most[0], **fields})


def rest(task: dict) -> None:
    """Until its time is over, or it is cancelled."""
    if cancelled[task["task_id"]].wait(task["data"].get("s", 60)):
        send("error", task, error="gave up")
    else:
        answer(task)


def rest_again(task: dict) -> None:
    """The first attempt does not end by itself."""
    if task["run"]["attempt"] == 1:
        task["data"]["s"] = 600
        send("progress", task, progress=1)
    rest(task)


def deaf(task: dict) -> None:
    """Hears no cancel."""
    time.sleep(task["data"].get("s", 60))
    answer(task)


def crash(task: dict) -> None:
    time.sleep(task["data"].get("s", 0))
    os.write(2, b"about to crash\n")
    os.kill(os.getpid(), signal.SIGKILL)


def crash_when_cancelled(task: dict) -> None:
    cancelled[task["task_id"]].wait()
    os._exit(9)


def hold(task: dict) -> None:
    """Says that it has begun, and goes on until the file `gate` is there, or it is cancelled."""
    send("progress", task, progress=10)
    while not os.path.exists(task["data"]["gate"]):
        if cancelled[task["task_id"]].wait(0.05):
            send("error", task, error="gave up")
            return
    answer(task)


def say(task: dict) -> None:
    os.write(1, b"out of %s\n" % task["task_id"].encode())
    time.sleep(0.1)
    send("log", task, message="log of " + task["task_id"])
    answer(task)


def full(task: dict) -> None:
    send("progress", task, progress=10, progress_message=task["task_id"])
    send("checkpoint", task, data=task["task_id"])
    time.sleep(task["data"].get("s", 0))
    answer(task, x="x" * task["data"].get("bytes", 0))


def wrong(task: dict) -> None:
    """Ends for tasks that it never had, then twice for its own."""
    send("result", {"task_id": "nobody"}, result="stale")
    send("progress", {"task_id": "nobody"}, progress=99)
    send("checkpoint", {"task_id": "nobody"}, data="stale")
    send("result", task, attempt=99, result="stale")
    answer(task)
    answer(task, second=True)


def unaddressed(task: dict) -> None:
    send("result", result="whose?")


def mixed(task: dict) -> None:
    """The line of another task begins in the middle of this one's."""
    other = {"gs": 1, "type": "result", "task_id": task["data"]["other"], "result": 1}
    with lock:
        line = json.dumps({"gs": 1, "type": "result", "task_id": task["task_id"], "result": "x" * 50}).encode()
        write(line[:70] + json.dumps(other).encode() + b"\n" + line[70:] + b"\n")


def flood(task: dict) -> None:
    end = time.monotonic() + task["data"]["s"]
    while time.monotonic() < end:
        send("log", task, message="again")
    answer(task)


def print_flood(task: dict) -> None:
    end = time.monotonic() + task["data"]["s"]
    while time.monotonic() < end:
        os.write(1, b"again\n" * 100)
    answer(task)


def stop_reading(task: dict) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def close_channel(task: dict) -> None:
    os.closerange(3, 20)


send("ready", sdk="test/1", capabilities=[] if SAYS == "no cancel" else ["cancel"], concurrency=SAYS)
if "JOURNAL" in os.environ:
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(f"{os.getpid()}\n")


def work(task: dict) -> None:
    globals()[task["data"]["do"].replace("-", "_")](task)


for raw in sys.stdin.buffer:
    given = json.loads(raw)
    if given["type"] == "cancel":
        (cancelled.get(given["task_id"]) or threading.Event()).set()
    else:
        cancelled[given["task_id"]] = threading.Event()
        most[0] = max(most[0], len(cancelled))
        threading.Thread(target=work, args=(given,), daemon=True).start()
