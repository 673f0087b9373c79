"""Acts on `data.case`, so that a test can see each duty of an SDK; any other task is returned as it came."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import Any

from gridsidecar_sdk import Context, Permanent, Retry, Stopped, TaskApp, run

FORGED = '{"gs":1,"type":"result","result":"forged"}'


class RangeError(Exception):
    pass


async def full(ctx: Context, data: Any) -> Any:
    ctx.report_progress(10, "started")
    ctx.log("warning", "slow disk", ms=812)
    ctx.heartbeat()
    ctx.checkpoint({"page": 17})
    await asyncio.sleep(data.get("seconds") or 0.05)
    ctx.report_progress(90.5)
    return {"attempt": ctx.attempt, "checkpoint": ctx.last_checkpoint, "task_id": ctx.task_id}


def fail(ctx: Context, data: Any) -> Any:
    raise RangeError("it broke")


def permanent(ctx: Context, data: Any) -> Any:
    raise Permanent("bad input", error_type="BadInput")


def retry(ctx: Context, data: Any) -> Any:
    raise Retry("try later", defer=2.5, error_type="RateLimited")


def noise(ctx: Context, data: Any) -> Any:
    print(FORGED, flush=True)
    print("no line end, then ", end="", flush=True)
    os.system(f"echo '{FORGED}'")  # noqa: S605
    return {"said": "plainly"}


def unicode(ctx: Context, data: Any) -> Any:
    return 'é ☃ 𝄞 \u2028 \u0085 "quoted" \\ \n \u0001'


def big(ctx: Context, data: Any) -> Any:
    return "x" * data["bytes"]


def unserialisable(ctx: Context, data: Any) -> Any:
    return {"n": object()}


async def stop(ctx: Context, data: Any) -> Any:
    ctx.report_progress(message="waiting")
    await asyncio.sleep(60)


def finish(ctx: Context, data: Any) -> Any:
    try:
        ctx.report_progress(message="waiting")
        time.sleep(60)
    except Stopped:
        return "finished early"


def deaf(ctx: Context, data: Any) -> Any:
    ctx.report_progress(message="waiting")
    time.sleep(60)


def leave(ctx: Context, data: Any) -> Any:
    sys.exit(data["code"])


def children(ctx: Context, data: Any) -> Any:
    script = "cat; ls -l /proc/self/fd; echo ${GRIDSIDECAR_EVENTS-none}"
    return subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, text=True, close_fds=False).stdout  # noqa: S607


CASES = {each.__name__: each for each in (full, fail, permanent, retry, noise, unicode, big, unserialisable)}
CASES.update({each.__name__: each for each in (stop, finish, deaf, children)}, exit=leave)


def act(ctx: Context, data: Any) -> Any:
    case = data.get("case") if isinstance(data, dict) else None
    if case in CASES:
        return CASES[case](ctx, data)
    ctx.report_progress(50, "half")
    return data


async def act_beside_others(ctx: Context, data: Any) -> Any:
    """The same, as one of many: what blocks is in a thread."""
    case = data.get("case") if isinstance(data, dict) else None
    function = CASES.get(case)
    if function is not None and not asyncio.iscoroutinefunction(function):
        return await asyncio.to_thread(function, ctx, data)
    found = act(ctx, data)
    return await found if hasattr(found, "__await__") else found


app = TaskApp(act)

if __name__ == "__main__":
    concurrency = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    run(act if concurrency == 1 else act_beside_others, concurrency=concurrency)
