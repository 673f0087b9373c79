"""Waiting for conditions instead of for time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

SLOWER = 1.1  # each pause, compared with the one before
SELDOM = 0.1  # seconds; a pause becomes no longer than that


async def eventually(predicate: Callable[[], Any], timeout: float = 30.0, interval: float = 0.02) -> Any:
    """The first true value of `predicate` (plain or async); AssertionError after `timeout` seconds.

    `interval` is the first pause between two looks, in seconds: a look may cost more than what it looks for.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come true within {timeout} s: {inspect.getsource(predicate).strip()}")
        await asyncio.sleep(interval)
        interval = max(interval, min(interval * SLOWER, SELDOM))
