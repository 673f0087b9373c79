"""One process that brings the tables up to date: says `ready`, waits for a line, migrates, says `done`."""

from __future__ import annotations

import asyncio
import sys

from tests.store.workers import A, open_store, task


async def main(url: str) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    store = await open_store(url)
    try:
        await store.tasks.claim(task("first of all"), A, 0)
    finally:
        await store.close()
    print("done", flush=True)


asyncio.run(main(sys.argv[1]))
