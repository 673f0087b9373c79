"""Who gets a slot when, and what may be claimed ahead of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from gridsidecar.delivery import slots as module
from gridsidecar.delivery.ahead_limit import AHEAD_S, ENOUGH_ENDS, MOST_AHEAD, AheadLimit
from gridsidecar.delivery.slots import Capacity, SlotRequest, Slots


def made(width: int, *routes: int) -> tuple[Slots, list[Capacity]]:
    slots = Slots(width)
    return slots, [slots.capacity(route) for route in routes or (width,)]


def quick(route: Capacity) -> None:
    """Its handlers have shown how quick they are."""
    for _ in range(ENOUGH_ENDS):
        route.record(0.001)


async def answer(waiting: Coroutine[Any, Any, bool]) -> asyncio.Task[bool]:
    """The wait as a task that has begun."""
    task = asyncio.create_task(waiting)
    await asyncio.sleep(0)
    return task


async def test_a_slot_is_free_again_when_its_handler_ends_and_goes_to_who_waits_longest() -> None:
    slots, (route,) = made(1)
    first, second, third = (slots.request(route) for _ in range(3))
    assert await first.claimable(5)
    assert await first.granted()
    waits = [await answer(request.claimable(5)) for request in (second, third)]
    assert not any(wait.done() for wait in waits)
    first.release()
    first.release()
    assert await waits[0]
    assert second.running
    assert not third.running


async def test_nothing_is_claimed_ahead_until_handlers_were_quick() -> None:
    slots, (route,) = made(1)
    running = slots.request(route)
    assert (running.running, slots.request(route).ahead) == (True, False)
    running.release()
    assert route.most_ahead == 0, "no handler has ended"
    quick(route)
    assert route.most_ahead == MOST_AHEAD
    assert slots.request(route).running
    assert slots.request(route).ahead
    route.reset_ahead()
    assert not slots.request(route).ahead


async def test_what_is_claimed_gets_a_slot_before_what_is_not() -> None:
    slots, (route,) = made(1)
    quick(route)
    running = slots.request(route)
    ahead = slots.request(route)
    route.most_ahead = 1
    unclaimed = slots.request(route)
    waits = await answer(unclaimed.claimable(5)), await answer(ahead.granted())
    running.release()
    assert await waits[1]
    assert ahead.running
    assert await waits[0], "it may be claimed now, ahead of its slot"
    assert unclaimed.ahead


async def test_a_route_that_is_full_keeps_no_slot_from_others() -> None:
    slots, (narrow, wide) = made(3, 1, 3)
    requests = [slots.request(narrow) for _ in range(64)]
    assert [request.running for request in requests] == [True] + [False] * 63
    waits = [await answer(request.claimable(5)) for request in requests[1:]]
    others = [slots.request(wide) for _ in range(3)]
    assert [request.running for request in others] == [True, True, False]
    waiting = await answer(others[2].claimable(5))
    others[0].release()
    assert await waiting
    assert not any(wait.done() for wait in waits)
    requests[0].release()
    assert await waits[0]
    for wait in waits[1:]:
        wait.cancel()


async def test_a_route_that_others_share_is_never_claimed_ahead() -> None:
    slots = Slots(1)
    route = slots.capacity(1, claims_ahead=False)
    quick(route)
    assert slots.request(route).running
    assert not slots.request(route).ahead


async def test_each_waits_for_its_own_time() -> None:
    slots, (route,) = made(1)
    slots.request(route)
    patient, hasty = slots.request(route), slots.request(route)
    waits = await answer(patient.claimable(60)), await answer(hasty.claimable(0.05))
    assert not await waits[1]
    assert not waits[0].done()
    waits[0].cancel()


async def test_who_waits_too_long_is_told_so() -> None:
    slots, (route,) = made(1)
    slots.request(route)
    late = slots.request(route)
    assert not await late.claimable(0.05)
    late.release()


async def test_of_many_who_waited_too_long_few_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them asks both servers for something then; the others may still get a slot."""
    monkeypatch.setattr(module, "EXPIRED_GAP", 1.0)
    slots, (route,) = made(1)
    running = slots.request(route)
    crowd = [slots.request(route) for _ in range(2 * module.MOST_EXPIRED + 2)]
    waits = [await answer(request.claimable(1.0)) for request in crowd]
    time.sleep(1.1)  # the loop stands still, so that the time of all is up when it looks
    told = [await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)]
    assert len(told[0][0]) == module.MOST_EXPIRED
    assert waits[0] in told[0][0], "who waits longest is told first"
    running.release()
    assert await waits[module.MOST_EXPIRED], "it was served in between"
    assert not any(await asyncio.gather(*waits[module.MOST_EXPIRED + 1 :]))


async def test_a_claim_that_waits_too_long_is_given_up_and_none_is_made_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_AHEAD", 0.05)
    slots, (route,) = made(1)
    quick(route)
    slots.request(route)
    assert not await slots.request(route).granted()
    assert route.most_ahead == 0


async def test_whoever_is_given_up_or_cancelled_is_passed_over() -> None:
    slots, (route,) = made(1)
    quick(route)
    running, stopped, cancelled, last = (slots.request(route) for _ in range(4))
    waits = [await answer(request.granted()) for request in (stopped, cancelled, last)]
    stopped.give_up()
    waits[1].cancel()
    await asyncio.gather(*waits[:2], return_exceptions=True)
    running.release()
    assert not await waits[0]
    assert await waits[2]
    assert last.running


async def test_when_nothing_starts_any_more_everybody_is_told() -> None:
    slots, (route,) = made(1)
    quick(route)
    running, ahead = slots.request(route), slots.request(route)
    route.most_ahead = 0
    unclaimed = slots.request(route)
    waits = await answer(ahead.granted()), await answer(unclaimed.claimable(5))
    slots.close()
    assert [await wait for wait in waits] == [False, False]
    running.release()
    assert not await slots.request(route).claimable(5)


async def test_what_is_shed_goes_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    slots, (route,) = made(1)
    slots.request(route)
    requests: list[SlotRequest] = [slots.request(route) for _ in range(3)]
    waits = [await answer(request.claimable(5)) for request in requests]
    slots.shed(3)
    assert not any(wait.done() for wait in waits), "it has not waited for long"
    monkeypatch.setattr(module, "LONGEST_AHEAD", 0.0)
    slots.shed(2)
    assert [await wait for wait in waits[:2]] == [False, False]
    assert [request.shed for request in requests] == [True, True, False]
    waits[2].cancel()


@pytest.mark.parametrize(
    ("seconds", "width", "ahead"),
    [(0.001, 1, MOST_AHEAD), (0.1, 2, 10), (AHEAD_S, 1, 1), (2 * AHEAD_S, 1, 0), (600.0, 64, 0), (0.0, 1, MOST_AHEAD)],
)
def test_pace(seconds: float, width: int, ahead: int) -> None:
    limit = AheadLimit()
    for _ in range(ENOUGH_ENDS):
        assert limit.of(width) == 0
        limit.record(seconds)
    assert limit.of(width) == ahead
    limit.reset()
    assert limit.of(width) == 0


def test_the_newest_ends_count_most() -> None:
    limit = AheadLimit()
    limit.record(10.0)
    for _ in range(60):
        limit.record(0.01)
    assert limit.of(8) >= 8


def test_who_asks_just_before_others_have_waited_too_long_waits_in_the_line_like_any_other() -> None:
    """A timer of uvloop's that is about to fire does not know its time."""

    async def ask() -> None:
        slots, (route,) = made(1)
        first, second, third = (slots.request(route) for _ in range(3))
        assert await first.granted()
        soon = await answer(second.claimable(0.0001))
        later = await answer(third.claimable(5))
        assert not await soon
        second.release()
        first.release()
        assert await later
        third.release()
        assert await slots.request(route).granted()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask())


async def test_a_place_that_was_released_gets_no_slot_any_more() -> None:
    slots, (route,) = made(1)
    gone = slots.request(route)
    gone.release()
    assert not slots.start(gone)
    assert await slots.request(route).granted()
