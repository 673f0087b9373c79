"""One holder for each key, whoever gives up or is cancelled while it waits."""

from __future__ import annotations

import asyncio

from gridsidecar.delivery.keyed_lock import KeyedLock


async def test_one_after_the_other_in_the_order_of_asking() -> None:
    lock = KeyedLock()
    assert await lock.acquire("t", 1)
    assert await lock.acquire("other", 1)
    waits = [asyncio.create_task(lock.acquire("t", 5)) for _ in range(2)]
    await asyncio.sleep(0)
    lock.release("t")
    assert await waits[0]
    assert not waits[1].done()
    lock.release("t")
    assert await waits[1]
    lock.release("t")
    assert await lock.acquire("t", 0)


async def test_whoever_gives_up_or_is_cancelled_keeps_nothing() -> None:
    lock = KeyedLock()
    assert await lock.acquire("t", 1)
    assert not await lock.acquire("t", 0.01)
    cancelled = asyncio.create_task(lock.acquire("t", 5))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    lock.release("t")
    assert await lock.acquire("t", 0)


async def test_a_turn_that_comes_in_the_moment_of_giving_up_is_not_lost() -> None:
    lock = KeyedLock()
    assert await lock.acquire("t", 1)
    waiting = asyncio.create_task(lock.acquire("t", 0.05))
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    loop.call_later(0.04, lock.release, "t")
    until = loop.time() + 0.06
    while loop.time() < until:  # both are due when the loop looks next, first the turn
        pass
    got = await waiting
    if got:
        lock.release("t")
    assert await lock.acquire("t", 0.1), "nobody holds it"


async def test_the_same_when_it_is_cancelled() -> None:
    lock = KeyedLock()
    assert await lock.acquire("t", 1)
    waiting = asyncio.create_task(lock.acquire("t", 5))
    await asyncio.sleep(0)
    lock.release("t")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await lock.acquire("t", 0.1)
