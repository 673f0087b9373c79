"""One process that brings the tables up to date: says `ready`, waits for a line, migrates, says `done`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.store.workers import A, open_store, task

ROOT = Path(__file__).parents[2]


def migrate_at_once(url: str, processes: int) -> list[tuple[int, str, str]]:
    """Many of them start together; exit code, stdout and stderr of each."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.store.migrating", url],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(processes)
        ]
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60) for process in started]
    return [(process.returncode, *answer) for process, answer in zip(started, answers, strict=True)]


async def main(url: str) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    store = await open_store(url)
    try:
        await store.tasks.claim(task("first of all"), A, 0)
    finally:
        await store.close()
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
