"""A handler that has so many tasks at once and waits for so many seconds in each: `many.py 64 0.02`."""

import asyncio
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "sdks" / "python"))

from gridsidecar_sdk import Context, run

AT_ONCE, PAUSE = int(sys.argv[1]), float(sys.argv[2])


async def work(ctx: Context, data: Any) -> None:
    if PAUSE:
        await asyncio.sleep(PAUSE)


run(work, concurrency=AT_ONCE)
