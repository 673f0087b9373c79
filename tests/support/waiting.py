"""Waiting for conditions instead of for time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

SLOWER = 1.1  # each pause, compared with the one before
SELDOM = 0.1  # seconds; a pause becomes no longer than that


async def eventually(predicate: Callable[[], Any], timeout: float = 45.0, interval: float = 0.02) -> Any:
    """The first true value of `predicate` (plain or async); AssertionError after `timeout` seconds.

    `interval` is the first pause between two looks, in seconds: a look may cost more than what it looks for. It rests
    for at least as long as it asked: on a busy machine nothing else in this process, a proxy for one, would have its
    turn between two questions, and what is asked about would go on ever more slowly.
    """
    deadline = time.monotonic() + timeout
    while True:
        asked = time.monotonic()
        value = predicate()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        now = time.monotonic()
        if now > deadline:
            raise AssertionError(f"did not come true within {timeout} s: {inspect.getsource(predicate).strip()}")
        await asyncio.sleep(max(interval, now - asked))
        interval = max(interval, min(interval * SLOWER, SELDOM))
