"""Programs for the tests: `handlers.py NAME`."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

from gridsidecar_sdk import Context, Permanent, Retry, TaskHandler, TaskProcessor, run, task


def by_type() -> None:
    @task("double")
    def double(ctx, data):
        return data * 2

    @task("slowly")
    async def slowly(ctx, data):
        await asyncio.sleep(0.01)
        return {"id": ctx["job_id"], "try": ctx.job_try}

    run()


def hooks() -> None:
    async def on_startup(state):
        state["loop"] = id(asyncio.get_running_loop())
        state["log"] = ["startup"]

    def on_job_start(ctx):
        ctx["log"].append(f"start {ctx.task_id}")
        ctx["mine"] = ctx.get("mine", 0) + 1

    async def on_job_end(ctx):
        ctx["log"].append(f"end {ctx.task_id}")

    def on_shutdown(state):
        print(*state["log"], "shutdown", sep=", ", file=sys.stderr)

    async def work(ctx: Context, data):
        return {
            "same loop": ctx["loop"] == id(asyncio.get_running_loop()),
            "mine": ctx["mine"],
            "log": list(ctx["log"]),
        }

    run(work, on_startup=on_startup, on_shutdown=on_shutdown, on_job_start=on_job_start, on_job_end=on_job_end)


def broken_start() -> None:
    def on_startup(state):
        raise OSError("no model here")

    run(lambda ctx, data: data, on_startup=on_startup)


def say(ctx: Context, data):
    """Calls the method that the data names."""
    result = getattr(ctx, data["call"])(*data["with"])
    ctx.heartbeat()
    return result


def values(ctx: Context, data):
    deep: list = []
    for _ in range(101):
        deep = [deep]
    made = {
        "nan": float("nan"),
        "half": "a\ud800b",
        "pair": "\ud83d\ude00",
        "deep": deep,
        "deep behind": ["\\", '\\"', deep],
        "digits": 10**308,
        "object": object(),
        "large": "x" * (4 * 1024 * 1024),
        "brackets": '[{"' * 200,
        "slashes": ["\\", '\\"[{' * 200, "\\\\[", "9" * 400],
    }
    return made[data]


def checkpoints(ctx: Context, data):
    ctx.checkpoint("x" * (64 * 1024 - 2))
    try:
        ctx.checkpoint("x" * (64 * 1024 - 1))
    except ValueError as error:
        return str(error)


def threads(ctx: Context, data):
    def many(letter: str) -> None:
        for _ in range(100):
            ctx.log("info", letter * 20_000)

    crew = [threading.Thread(target=many, args=(letter,)) for letter in "abcd"]
    for each in crew:
        each.start()
    for each in crew:
        each.join()


def retry_from(ctx: Context, data):
    try:
        raise ConnectionError("refused")
    except ConnectionError as error:
        raise Retry("later") from error


def stopped_but_says_permanent(ctx: Context, data):
    try:
        ctx.report_progress(1)
        time.sleep(60)
    finally:
        raise Permanent("no use", error_type="Gone")


def error_after_stop(ctx: Context, data):
    try:
        ctx.report_progress(1)
        time.sleep(60)
    finally:
        raise RuntimeError("cleaning up went wrong")


def late(ctx: Context, data):
    """Its threads go on talking after the end."""
    threading.Timer(0.2, lambda: ctx.report_progress(99)).start()
    return 1


def sleeps(ctx: Context, data):
    ctx.report_progress(1)
    time.sleep(60)


def ends_slowly() -> None:
    async def on_job_end(ctx):
        ctx.report_progress(2)
        await asyncio.sleep(60)

    def on_shutdown(state):
        print("shut down", file=sys.stderr)

    run(lambda ctx, data: None, on_job_end=on_job_end, on_shutdown=on_shutdown)


class Plugin(TaskHandler):
    def execute(self, task_data):
        self.report_progress("20", "开始")
        print("printed")
        os.system("echo child")
        if task_data == "bad":
            raise ValueError("bad input")
        return {"id": self.get_task_id(), "data": task_data, "at": threading}


def plugin() -> None:
    TaskProcessor(handler=Plugin(), max_retry_count=3, retry_delay=60).start()


PROGRAMS = {each.__name__: each for each in (by_type, hooks, broken_start, ends_slowly, plugin)}

if __name__ == "__main__":
    name = sys.argv[1]
    if name in PROGRAMS:
        PROGRAMS[name]()
    else:
        run(globals()[name])
