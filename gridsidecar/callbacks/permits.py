"""The permits of callbacks under way: a receiver that does not answer holds few of them while others wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from enum import Enum
from math import inf

from msgspec import Struct, field

from gridsidecar.clock import Clock

AT_ONCE = 64  # callbacks under way
AT_ONCE_EACH = 8  # … to one receiver: one that hangs holds up itself
QUICK_LIMIT = 1.0  # seconds that a try may hold a permit that others wait for
CALM = 15.0  # seconds since somebody last waited for a permit, until the slow ones may have more than their own
RECEIVERS_KNOWN = 10_000


class Speed(Enum):
    """What is known of a receiver, by how long its last try took. A first try is given on trust, but to few at once."""

    QUICK = "quick"  # it was over within QUICK_LIMIT, one way or the other
    NEW = "new"
    SLOW = "slow"  # it took longer, but this receiver did answer lately
    SILENT = "silent"  # it took longer, and there was no answer


OTHERS_AT_ONCE = 54  # … to all that are not known to be quick: the rest is always free for those that are
AT_ONCE_OF = {Speed.QUICK: AT_ONCE, Speed.NEW: 36, Speed.SLOW: 12, Speed.SILENT: 6}

SMALL = 256 * 1024  # characters of a body, of which so many as there are permits are not much
LARGE_AT_ONCE = 8 * 1024 * 1024  # … of all larger ones of each speed; one alone may be larger still
UNKNOWN = 1024 * 1024  # … for which one is taken that an older version wrote


def _has_memory(held: int, size: int) -> bool:
    return size <= SMALL or not held or held + size <= LARGE_AT_ONCE


def _weight(size: int) -> int:
    return size if size > SMALL else 0


class Permit(Struct, eq=False):
    """One callback under way."""

    receiver: str
    speed: Speed
    size: int  # characters of its body
    since: float = inf  # when its try began
    limit: asyncio.Timeout | None = None  # while it is tried


class Offer(Struct):
    """The permits that are free at one poll, given to one callback after the other."""

    permits: Permits
    held: Counter[Speed]
    memory: Counter[Speed]  # characters of large bodies
    calm: bool  # then a speed may have more than its own permits
    taken: Counter[str] = field(default_factory=Counter)
    crowded: bool = False  # somebody waits who may well be quick, or whose own permits others hold

    def take(self, receiver: str, size: int) -> bool:
        """A permit for one more callback of this receiver; False: it has to wait."""
        if not self.has_room(receiver):
            return False
        speed, size = self.permits.speed(receiver), size or UNKNOWN
        if not _has_memory(self.memory[speed], size):
            self.crowded |= speed in (Speed.QUICK, Speed.NEW)
            return False
        self.taken[receiver] += 1
        self.held[speed] += 1
        self.memory[speed] += _weight(size)
        return True

    def has_room(self, receiver: str) -> bool:
        """Whether there is one, as far as its body is small enough."""
        if self.permits.under_way(receiver) + self.taken[receiver] >= AT_ONCE_EACH:
            return False
        speed = self.permits.speed(receiver)
        if self._is_full(speed):
            self.crowded |= speed in (Speed.QUICK, Speed.NEW) or self.held[speed] < AT_ONCE_OF[speed]
            return False
        return True

    def _is_full(self, speed: Speed) -> bool:
        under_way = self.held.total()
        if under_way >= AT_ONCE or (not self.calm and self.held[speed] >= AT_ONCE_OF[speed]):
            return True
        return speed is not Speed.QUICK and under_way - self.held[Speed.QUICK] >= OTHERS_AT_ONCE


class Permits:
    """Who is under way, and who of those that wait comes next.

    However many receivers hang: one that was quick lately finds a permit within QUICK_LIMIT, and one of which nothing
    is known after n others of which nothing was known within n / 36 of it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: set[Permit] = set()
        self._speeds: dict[str, Speed] = {}  # the last noted last
        self._crowded_at = -inf

    def offer(self) -> Offer:
        calm = self._clock.monotonic() - self._crowded_at > CALM
        memory: Counter[Speed] = Counter()
        for permit in self._held:
            memory[permit.speed] += _weight(permit.size)
        return Offer(self, Counter(permit.speed for permit in self._held), memory, calm)

    def take(self, receiver: str, size: int) -> Permit:
        permit = Permit(receiver, self.speed(receiver), size)
        self._held.add(permit)
        return permit

    def release(self, permit: Permit) -> None:
        self._held.discard(permit)

    def under_way(self, receiver: str) -> int:
        return sum(permit.receiver == receiver for permit in self._held)

    def speed(self, receiver: str) -> Speed:
        return Speed.QUICK if _is_broker(receiver) else self._speeds.get(receiver, Speed.NEW)

    def began(self, permit: Permit, limit: asyncio.Timeout) -> None:
        permit.since, permit.limit = self._clock.monotonic(), limit

    def ended(self, permit: Permit, answered: bool | None) -> None:
        """Its try is over, though not yet written down. `answered` None: it never came to the receiver."""
        permit.limit = None
        if answered is None:
            return
        if self._clock.monotonic() - permit.since <= QUICK_LIMIT:
            self._note(permit.receiver, Speed.QUICK)
        elif answered:
            self._note(permit.receiver, Speed.SLOW)
        else:
            self._note(permit.receiver, Speed.SLOW if self.speed(permit.receiver) is Speed.QUICK else Speed.SILENT)

    def make_room(self) -> bool:
        """Others wait. Whoever has held a permit for longer than QUICK_LIMIT goes on in one for the slow, as long as
        there is one, and gives it up where not. Whether anything changed."""
        now = self._clock.monotonic()
        self._crowded_at = now
        late = sorted(
            (permit for permit in self._held if permit.limit is not None and now - permit.since >= QUICK_LIMIT),
            key=lambda permit: permit.since,
        )
        left = {speed: AT_ONCE_OF[speed] for speed in (Speed.SLOW, Speed.SILENT)}
        memory: Counter[Speed] = Counter()
        changed = False
        for permit in late:
            if _is_broker(permit.receiver):
                continue
            speed = Speed.SILENT if self.speed(permit.receiver) in (Speed.NEW, Speed.SILENT) else Speed.SLOW
            self._note(permit.receiver, speed)
            if left[speed] > 0 and _has_memory(memory[speed], permit.size):
                left[speed] -= 1
                memory[speed] += _weight(permit.size)
                changed |= permit.speed is not speed
                permit.speed = speed
            elif permit.limit is not None:
                permit.limit.reschedule(0.0)
                permit.limit = None
                changed = True
        return changed

    def until_late(self) -> float:
        """Seconds until one that holds a permit has held it for long."""
        now = self._clock.monotonic()
        fresh = (permit.since for permit in self._held if permit.limit is not None and now - permit.since < QUICK_LIMIT)
        return min(fresh, default=now) + QUICK_LIMIT - now

    def _note(self, receiver: str, speed: Speed) -> None:
        self._speeds.pop(receiver, None)
        self._speeds[receiver] = speed
        if len(self._speeds) > RECEIVERS_KNOWN:
            del self._speeds[next(iter(self._speeds))]


def _is_broker(receiver: str) -> bool:
    """Ours, and under time limits of its own: never slow through a task's fault. The others have a host and a port."""
    return ":" not in receiver and receiver != "?"
