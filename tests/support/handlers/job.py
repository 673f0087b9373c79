"""A Python handler that a test can follow: doubles `data.n`."""

import json
import os
import sys
import time


def note(word: str, task: dict) -> None:
    line = f"{word} {task['task_id']} {task['run']['attempt']} {os.getpid()} {time.time():.6f}\n"
    journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, line.encode())
    os.close(journal)


task = json.loads(sys.stdin.readline())
note("start", task)
print(json.dumps({"gs": 1, "type": "progress", "progress": 50}))
print("words for the log")
print(json.dumps({"gs": 1, "type": "result", "result": {"by": "python", "n": task["data"]["n"] * 2}}))
note("end", task)
