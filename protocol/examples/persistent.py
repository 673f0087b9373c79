#!/usr/bin/env python3
# One process for many tasks, one after the other; the end of stdin is the end of the work.
import json
import os
import sys

events = open(os.environ.get("GRIDSIDECAR_EVENTS", "/dev/stdout"), "ab", buffering=0)


def say(**message):
    events.write(json.dumps({"gs": 1, **message}).encode() + b"\n")


say(type="ready")
for line in sys.stdin.buffer:
    task = json.loads(line)
    if task["type"] != "task":
        continue
    try:
        say(type="progress", task_id=task["task_id"], progress=50)
        say(type="result", task_id=task["task_id"], result={"keys": sorted(task["data"])})
    except Exception as error:
        say(type="error", task_id=task["task_id"], error=str(error), error_type=type(error).__name__)
