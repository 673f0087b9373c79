"""Who runs a handler now, and who may claim a task ahead of its turn. A slot is free when its handler has ended."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from gridsidecar.delivery.ahead_limit import AheadLimit

LONGEST_AHEAD = 2.0  # seconds that a claimed task waits for its slot; then others may have it
MOST_EXPIRED = 64  # requests that are told at once that they waited too long: each then asks both servers for something
EXPIRED_GAP = 0.5  # seconds until the next so many


class _State(Enum):
    WAITING = auto()  # nothing is claimed
    AHEAD = auto()  # it is claimed, or about to be, and has no slot
    RUNNING = auto()  # it has a slot
    GONE = auto()


class Releasable(Protocol):
    """What somebody has until it is given back."""

    def release(self) -> None: ...


class Capacity:
    """What one route may do at a time: so many running handlers, and so many claims ahead of them."""

    def __init__(self, width: int, claims_ahead: bool) -> None:
        self.width = width
        self._claims_ahead = claims_ahead
        self.running = 0
        self.ahead = 0  # requests without a slot whose tasks may be claimed
        self.most_ahead = 0
        self._ahead_limit = AheadLimit()

    def record(self, seconds: float) -> None:
        """A handler of this route had its slot for so long."""
        if self._claims_ahead:
            self._ahead_limit.record(seconds)
            self.most_ahead = self._ahead_limit.of(self.width)

    def reset_ahead(self) -> None:
        """Claim nothing ahead until handlers have shown again how quick they are."""
        self._ahead_limit.reset()
        self.most_ahead = 0


class SlotRequest:
    """One task's way to its slot: wait to be claimed, be claimed, wait for the slot, have it, release it."""

    __slots__ = ("_answer", "_slots", "beside", "capacity", "shed", "since", "started_at", "state", "until")

    def __init__(self, slots: Slots, capacity: Capacity) -> None:
        self._slots = slots
        self._answer: asyncio.Future[bool] | None = None
        self.capacity = capacity
        self.state = _State.WAITING
        self.since = 0.0  # loop time at which it began to wait
        self.until = 0.0  # loop time until which it waits
        self.shed = False  # others had better have it: it goes back to the queue
        self.beside: tuple[Releasable, ...] = ()  # what its task needs beside the slot: released with it
        self.started_at = 0.0  # loop time at which it got its slot

    @property
    def ahead(self) -> bool:
        """It may be claimed, and has no slot yet."""
        return self.state is _State.AHEAD

    @property
    def running(self) -> bool:
        """It has its slot."""
        return self.state is _State.RUNNING

    @property
    def held_for(self) -> float:
        """Seconds that it has its slot."""
        return asyncio.get_running_loop().time() - self.started_at

    async def claimable(self, max_wait: float) -> bool:
        """Wait until the task may be claimed. False when that takes more than so many seconds, or nothing starts any
        more."""
        return self.state is not _State.WAITING or await self._slots.unclaimed.wait(self, max_wait)

    async def granted(self) -> bool:
        """Wait, after the claim, for the slot. False when others had better run the task, or it was given up."""
        return self.running or self._slots.start(self) or await self._slots.claimed.wait(self, LONGEST_AHEAD)

    def release_with_it(self, other: Releasable) -> None:
        """Its task has this, too, for as long."""
        self.beside += (other,)

    def give_up(self) -> None:
        """It will not get its slot."""
        self.answer(False)

    def release(self) -> None:
        """Its handler ended, or will not start. Releasing twice is harmless."""
        self._slots.release(self)

    # -- for the queue that it waits in -------------------------------------------------------------------------------

    def ask(self, now: float, max_wait: float) -> asyncio.Future[bool]:
        self.since, self.until = now, now + max_wait
        self._answer = asyncio.get_running_loop().create_future()
        return self._answer

    def answer(self, yes: bool) -> None:
        if self.is_waiting:
            assert self._answer is not None
            self._answer.set_result(yes)

    @property
    def is_waiting(self) -> bool:
        return self._answer is not None and not self._answer.done()


class _SlotQueue:
    """Requests that wait, the longest first. One timer for all of them."""

    def __init__(self, too_long: Callable[[SlotRequest], None]) -> None:
        self._too_long = too_long
        self._waiting: deque[SlotRequest] = deque()
        self._timer: asyncio.Handle | None = None
        self._fires_at = 0.0  # loop time; where it is very near, uvloop's timer is a handle that does not know it
        self._closed = False

    async def wait(self, request: SlotRequest, max_wait: float) -> bool:
        if self._closed:
            return False
        loop = asyncio.get_running_loop()
        answer = request.ask(loop.time(), max_wait)
        if self._timer is None or request.until < self._fires_at:
            self._set_timer(request.until)
        self._waiting.append(request)
        return await answer

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._expire)

    def serve(self, serve: Callable[[SlotRequest], bool], routes: int) -> None:
        """Offer each request, in turn, what `serve` may give it. Where it gives nothing to a route, it gives nothing to
        those of the same route behind it; of `routes` there are so many."""
        passed_by: list[SlotRequest] = []
        full: set[Capacity] = set()
        while self._waiting and len(full) < routes:
            request = self._waiting.popleft()
            if not request.is_waiting:
                continue
            if request.capacity not in full and serve(request):
                request.answer(True)
            else:
                full.add(request.capacity)
                passed_by.append(request)
        self._waiting.extendleft(reversed(passed_by))

    def shed(self, waited: float, most: int) -> None:
        """Those that wait for so many seconds, at most so many of them."""
        too_old = asyncio.get_running_loop().time() - waited
        while most > 0 and self._waiting and self._waiting[0].since <= too_old:
            request = self._waiting.popleft()
            most -= request.is_waiting
            request.shed = True
            request.answer(False)

    def close(self) -> None:
        """Nobody is served any more."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft().answer(False)
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        self._timer = None
        waiting = [request for request in self._waiting if request.is_waiting]
        expired = [request for request in waiting if request.until <= now][:MOST_EXPIRED]
        for request in expired:
            self._too_long(request)
            request.answer(False)
        self._waiting = deque(request for request in waiting if request.is_waiting)
        if self._waiting:
            soonest = min(request.until for request in self._waiting)
            self._set_timer(max(soonest, now + EXPIRED_GAP) if len(expired) == MOST_EXPIRED else soonest)


class Slots:
    """The slots of the whole worker, shared by its routes. Of those that wait, what is claimed gets a slot first."""

    def __init__(self, width: int) -> None:
        self._free = width
        self._capacities: list[Capacity] = []
        self._closed = False
        self.unclaimed = _SlotQueue(lambda _: None)
        self.claimed = _SlotQueue(lambda request: request.capacity.reset_ahead())

    def capacity(self, width: int, *, claims_ahead: bool = True) -> Capacity:
        """For one more route."""
        capacity = Capacity(width, claims_ahead)
        self._capacities.append(capacity)
        return capacity

    @property
    def most_ahead(self) -> int:
        """Tasks that may be claimed ahead of their slots, all routes together."""
        return sum(capacity.most_ahead for capacity in self._capacities)

    def request(self, capacity: Capacity) -> SlotRequest:
        """For a delivery. Nobody who waits is passed: whoever could be served was served already."""
        request = SlotRequest(self, capacity)
        if not self.start(request):
            self._let_claim_ahead(request)
        return request

    def start(self, request: SlotRequest) -> bool:
        """Give it a slot, if there is one for it."""
        capacity = request.capacity
        if self._closed or not self._free or capacity.running >= capacity.width or request.state is _State.GONE:
            return False
        if request.state is _State.AHEAD:
            capacity.ahead -= 1
        self._free -= 1
        capacity.running += 1
        request.state = _State.RUNNING
        request.started_at = asyncio.get_running_loop().time()
        return True

    def _let_claim_ahead(self, request: SlotRequest) -> bool:
        capacity = request.capacity
        if self._closed or capacity.ahead >= capacity.most_ahead:
            return False
        capacity.ahead += 1
        request.state = _State.AHEAD
        return True

    def release(self, request: SlotRequest) -> None:
        """Take back what it has, and serve others by it."""
        capacity = request.capacity
        match request.state:
            case _State.RUNNING:
                self._free += 1
                capacity.running -= 1
            case _State.AHEAD:
                capacity.ahead -= 1
            case _State.GONE:
                return
        request.state = _State.GONE
        for other in request.beside:
            other.release()
        if self._free:
            self.claimed.serve(self.start, len(self._capacities))
        self.unclaimed.serve(
            lambda waiting: self.start(waiting) or self._let_claim_ahead(waiting), len(self._capacities)
        )

    def shed(self, most: int) -> None:
        """Others had better have what waits here, unclaimed, for long: at most so many."""
        self.unclaimed.shed(LONGEST_AHEAD, most)

    def freeze(self) -> None:
        """Nothing starts any more; whoever waits goes on waiting, until `close`."""
        self._closed = True

    def close(self) -> None:
        """Nothing starts any more: whoever waits is told so."""
        self._closed = True
        self.unclaimed.close()
        self.claimed.close()
