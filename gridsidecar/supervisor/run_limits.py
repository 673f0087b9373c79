"""When a run with several processes is over by its own rules: all of them are idle, or a burst has nothing left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gridsidecar.supervisor.child import Child
from gridsidecar.supervisor_link import Leave

Children = Callable[[], Sequence[Child] | None]  # None while one is missing or not ready


async def until_limit_reached(worker: Mapping[str, Any], children: Children) -> Leave:
    """Wait for that; `worker` are its settings."""
    loop = asyncio.get_running_loop()
    burst_ends = loop.time() + worker["burst_timeout"] if worker["burst"] and worker["burst_timeout"] else None
    while True:
        await asyncio.sleep(min(worker["burst_check_interval"], 1.0))
        if burst_ends is not None and loop.time() >= burst_ends:
            return Leave(f"burst_timeout of {worker['burst_timeout']:g} s is over")
        if worker["idle_timeout"] and _idle(children()) >= worker["idle_timeout"]:
            return Leave(f"idle for {worker['idle_timeout']:g} s", finishes_work=True)
        if worker["burst"] and await _nothing_left(children):
            return Leave("the queue is empty", finishes_work=worker["burst_wait"])


def _idle(children: Sequence[Child] | None) -> float:
    """Seconds for which all have had nothing to do."""
    if children is None:
        return 0.0
    return min(0.0 if child.figures is None else child.figures.idle for child in children)


async def _nothing_left(children: Children) -> bool:
    """What one process holds when the others look may come back to the queue, or become another task. So each looks
    twice, the second time when all have looked, and none may have had work meanwhile."""
    before = await _looks(children())
    return before is not None and before == await _looks(children())


async def _looks(children: Sequence[Child] | None) -> list[tuple[int, float]] | None:
    """Who looked, and when it last had work; None when it is not all over."""
    states = await asyncio.gather(*(child.queue_state() for child in children or ()))
    seen = [
        (child.life, state.active_at)
        for child, state in zip(children or (), states, strict=True)
        if state is not None and state.quiet
    ]
    return seen if children is not None and len(seen) == len(children) else None
