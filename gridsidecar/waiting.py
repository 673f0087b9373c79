"""Waiting for what comes back by itself: a database that is away, a moment that an event may cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from gridsidecar import telemetry
from gridsidecar.clock import backoff
from gridsidecar.environment import Environment
from gridsidecar.errors import AccessRefused, StoreUnavailable
from gridsidecar.runtime.shutdown import Phase
from gridsidecar.store import RowLocked

T = TypeVar("T")
LOCKS = 20  # times, each of half a minute, that a row is waited for which somebody holds


async def retry_until_available(
    env: Environment,
    operation: Callable[[], Awaitable[T]],
    *,
    before_start: bool = False,
    reading: bool = False,
    locks: int = LOCKS,
) -> T:
    """Run a store operation, again and again while the database is away; it must be safe to repeat.

    Raises `StoreUnavailable` when it is still away and this run will wait for no server any more; with `before_start`
    (nothing has begun yet) as soon as nothing starts any more. A refusal ends the run: with `before_start` it is
    raised, otherwise what was done is not thrown away until then. `reading`: its success says nothing of writes. A row
    that somebody still holds after so many `locks` is `RowLocked`.
    """
    part = "store (reading)" if reading else "store"
    last = Phase.LEAVING if before_start else Phase.KILLING
    failures = 0
    while True:
        try:
            result = await operation()
        except (StoreUnavailable, AccessRefused) as error:
            if isinstance(error, AccessRefused):
                if before_start:
                    raise
                env.end_for(error)
            if env.shutdown.phase >= last:
                raise StoreUnavailable(str(error)) from error
            env.readiness.blocked(part, str(error))
            failures += 1
            await env.clock.sleep(backoff(failures, base=0.1, limit=5.0, rng=env.rng))
        except RowLocked as error:
            locks -= 1
            if locks < 0:
                raise
            if env.shutdown.phase >= last:
                raise StoreUnavailable(str(error)) from error
            telemetry.debug("a row is locked by somebody else, it is waited for", reason=str(error))
        else:
            env.readiness.clear(part)
            return result


async def sleep_unless(event: asyncio.Event, seconds: float) -> bool:
    """Sleep, but not past the event; whether it came."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
