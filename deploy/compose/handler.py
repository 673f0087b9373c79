"""A handler: reads one task on stdin, prints events on stdout. Its data says what it shall do."""

import json
import sys
import time


def event(kind, **fields):
    print(json.dumps({"gs": 1, "type": kind, **fields}), flush=True)


task = json.loads(sys.stdin.readline())
data, attempt = task["data"], task["run"]["attempt"]
if attempt <= data.get("failures", 0):
    event("error", error=f"attempt {attempt} was meant to fail", error_type="Flaky")
    sys.exit(1)
steps = data.get("steps", 1)
for step in range(1, steps + 1):
    time.sleep(data.get("seconds", 1) / steps)
    event("progress", progress=100 * step // steps, progress_message=f"{step} of {steps}")
event("result", result={"greeting": f"hello {data.get('name', 'world')}", "attempts": attempt})
