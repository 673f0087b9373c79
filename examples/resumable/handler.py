#!/usr/bin/env python3
"""A long job that goes on where it was: fetches pages one by one, and says after each how far it is.

`gridsidecar` stores the checkpoint, at most once in `progress_interval` seconds, and gives it back to the next attempt
in `run.checkpoint`. What was done after the last stored one is done again, so each step must bear that: here it writes
the same file once more.
"""

import json
import os
import sys
import time
from pathlib import Path

task = json.loads(sys.stdin.readline())
pages = task["data"]["pages"]
folder = Path(task["data"]["folder"])
first = (task["run"]["checkpoint"] or {"next": 1})["next"]

with open(os.environ["GRIDSIDECAR_EVENTS"], "ab", buffering=0) as events:

    def send(**message: object) -> None:
        events.write(json.dumps(message).encode() + b"\n")

    for page in range(first, pages + 1):
        time.sleep(task["data"].get("seconds_a_page", 0.1))  # the work
        (folder / f"page-{page}.txt").write_text(f"page {page}, by attempt {task['run']['attempt']}\n")
        send(type="checkpoint", data={"next": page + 1})
        send(type="progress", progress=100 * page / pages, progress_message=f"page {page} of {pages}")

    send(type="result", result={"pages": pages, "started_at_page": first})
