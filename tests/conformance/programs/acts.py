"""A oneshot handler that acts on `data.case`, as an SDK's own program; its first argument names what it spoils."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

SPOILT = sys.argv[1] if len(sys.argv) > 1 else ""
FORGED = '{"gs":1,"type":"result","result":"forged"}'
events = sys.stdout.buffer if SPOILT == "noise" else open(os.environ.get("GRIDSIDECAR_EVENTS", "/dev/stdout"), "ab")  # noqa: SIM115


def say(**message: Any) -> None:
    if SPOILT == "unicode":
        message = json.loads(json.dumps(message).replace("\\ud834\\udd1e", "?"))
    events.write(json.dumps({"gs": 1, **message}).encode() + b"\n")
    if SPOILT != "full":
        events.flush()


def act(task: dict[str, Any], case: str) -> Any:
    match case:
        case "full":
            say(type="progress", progress=10, progress_message="started")
            say(type="log", level="warning", message="slow disk", fields={"ms": 812})
            say(type="heartbeat")
            say(type="checkpoint", data={"page": 17})
            time.sleep(task["data"]["seconds"])
            say(type="progress", progress=90.5)
            return {name: task["run"][name] for name in ("attempt", "checkpoint")} | {"task_id": task["task_id"]}
        case "fail":
            raise ValueError("it broke")
        case "permanent":
            say(type="error", error="bad input", error_type="BadInput", retryable=case == SPOILT)
            sys.exit(65)
        case "retry":
            after = {} if case == SPOILT else {"retry_after_s": 2.5}
            say(type="error", error="try later", error_type="RateLimited", **after)
            sys.exit(75)
        case "noise":
            print(FORGED, flush=True)
            subprocess.run(["echo", FORGED], check=True)
            return {"said": "plainly"}
        case "unicode":
            return 'é ☃ 𝄞 \u2028 \u0085 "quoted" \\ \n \u0001'
        case "big":
            return "x" * (task["data"]["bytes"] - (case == SPOILT))
        case "stop":
            time.sleep(0 if case == SPOILT else 60)
    return None if case == SPOILT else task["data"]


task = json.loads(sys.stdin.buffer.readline())
try:
    say(type="result", result=act(task, (task["data"] or {}).get("case", "")))
except Exception as error:
    if SPOILT == "fail":
        sys.exit(1)
    say(type="error", error=str(error), error_type=type(error).__name__)
events.flush()
