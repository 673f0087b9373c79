"""The places of callbacks under way: a receiver that does not answer holds few of them while others wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from enum import Enum
from math import inf

from msgspec import Struct, field

from gridsidecar.clock import Clock

AT_ONCE = 64  # callbacks under way
AT_ONCE_EACH = 8  # … to one receiver: one that hangs holds up itself
PATIENCE = 1.0  # seconds that a try may hold a place that others wait for
CALM = 15.0  # seconds since somebody last waited for a place, until the slow ones may have more than their own
RECEIVERS_KNOWN = 10_000


class Lane(Enum):
    """What is known of a receiver, by how long its last try took. A first try is given on trust, but to few at once."""

    QUICK = "quick"  # it was over within PATIENCE, one way or the other
    NEW = "new"
    SLOW = "slow"  # it took longer, but this receiver did answer lately
    SILENT = "silent"  # it took longer, and there was no answer


OTHERS_AT_ONCE = 54  # … to all that are not known to be quick: the rest is always free for those that are
AT_ONCE_IN = {Lane.QUICK: AT_ONCE, Lane.NEW: 36, Lane.SLOW: 12, Lane.SILENT: 6}

SMALL = 256 * 1024  # characters of a body, of which so many as there are places are not much
LARGE_AT_ONCE = 8 * 1024 * 1024  # … of all larger ones in each lane; one alone may be larger still
UNKNOWN = 1024 * 1024  # … for which one is taken that an older version wrote


def _has_memory(held: int, size: int) -> bool:
    return size <= SMALL or not held or held + size <= LARGE_AT_ONCE


def _weight(size: int) -> int:
    return size if size > SMALL else 0


class Place(Struct, eq=False):
    """One callback under way."""

    receiver: str
    lane: Lane
    size: int  # characters of its body
    since: float = inf  # when its try began
    limit: asyncio.Timeout | None = None  # while it is tried


class Offer(Struct):
    """The places that are free at one look, given to one callback after the other."""

    places: Places
    held: Counter[Lane]
    memory: Counter[Lane]  # characters of large bodies
    calm: bool  # then a lane may have more than its own places
    taken: Counter[str] = field(default_factory=Counter)
    crowded: bool = False  # somebody waits who may well be quick, or whose own places others hold

    def take(self, receiver: str, size: int) -> bool:
        """A place for one more callback of this receiver; False: it has to wait."""
        if not self.has_place(receiver):
            return False
        lane, size = self.places.lane(receiver), size or UNKNOWN
        if not _has_memory(self.memory[lane], size):
            self.crowded |= lane in (Lane.QUICK, Lane.NEW)
            return False
        self.taken[receiver] += 1
        self.held[lane] += 1
        self.memory[lane] += _weight(size)
        return True

    def has_place(self, receiver: str) -> bool:
        """Whether there is one, as far as its body is small enough."""
        if self.places.under_way(receiver) + self.taken[receiver] >= AT_ONCE_EACH:
            return False
        lane = self.places.lane(receiver)
        if self._is_full(lane):
            self.crowded |= lane in (Lane.QUICK, Lane.NEW) or self.held[lane] < AT_ONCE_IN[lane]
            return False
        return True

    def _is_full(self, lane: Lane) -> bool:
        under_way = self.held.total()
        if under_way >= AT_ONCE or (not self.calm and self.held[lane] >= AT_ONCE_IN[lane]):
            return True
        return lane is not Lane.QUICK and under_way - self.held[Lane.QUICK] >= OTHERS_AT_ONCE


class Places:
    """Who is under way, and who of those that wait comes next.

    However many receivers hang: one that was quick lately finds a place within PATIENCE, and one of which nothing is
    known after n others of which nothing was known within n / 36 of it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: set[Place] = set()
        self._lanes: dict[str, Lane] = {}  # the last noted last
        self._crowded_at = -inf

    def offer(self) -> Offer:
        calm = self._clock.monotonic() - self._crowded_at > CALM
        memory: Counter[Lane] = Counter()
        for place in self._held:
            memory[place.lane] += _weight(place.size)
        return Offer(self, Counter(place.lane for place in self._held), memory, calm)

    def hold(self, receiver: str, size: int) -> Place:
        place = Place(receiver, self.lane(receiver), size)
        self._held.add(place)
        return place

    def release(self, place: Place) -> None:
        self._held.discard(place)

    def under_way(self, receiver: str) -> int:
        return sum(place.receiver == receiver for place in self._held)

    def lane(self, receiver: str) -> Lane:
        return Lane.QUICK if _is_broker(receiver) else self._lanes.get(receiver, Lane.NEW)

    def began(self, place: Place, limit: asyncio.Timeout) -> None:
        place.since, place.limit = self._clock.monotonic(), limit

    def ended(self, place: Place, answered: bool | None) -> None:
        """Its try is over, though not yet written down. `answered` None: it never came to the receiver."""
        place.limit = None
        if answered is None:
            return
        if self._clock.monotonic() - place.since <= PATIENCE:
            self._note(place.receiver, Lane.QUICK)
        elif answered:
            self._note(place.receiver, Lane.SLOW)
        else:
            self._note(place.receiver, Lane.SLOW if self.lane(place.receiver) is Lane.QUICK else Lane.SILENT)

    def make_room(self) -> bool:
        """Others wait. Whoever has held a place for longer than PATIENCE goes on in one for the slow, as long as there
        is one, and gives it up where not. Whether anything changed."""
        now = self._clock.monotonic()
        self._crowded_at = now
        late = sorted(
            (place for place in self._held if place.limit is not None and now - place.since >= PATIENCE),
            key=lambda place: place.since,
        )
        left = {lane: AT_ONCE_IN[lane] for lane in (Lane.SLOW, Lane.SILENT)}
        memory: Counter[Lane] = Counter()
        changed = False
        for place in late:
            if _is_broker(place.receiver):
                continue
            lane = Lane.SILENT if self.lane(place.receiver) in (Lane.NEW, Lane.SILENT) else Lane.SLOW
            self._note(place.receiver, lane)
            if left[lane] > 0 and _has_memory(memory[lane], place.size):
                left[lane] -= 1
                memory[lane] += _weight(place.size)
                changed |= place.lane is not lane
                place.lane = lane
            elif place.limit is not None:
                place.limit.reschedule(0.0)
                place.limit = None
                changed = True
        return changed

    def until_late(self) -> float:
        """Seconds until one that holds a place has held it for long."""
        now = self._clock.monotonic()
        fresh = (place.since for place in self._held if place.limit is not None and now - place.since < PATIENCE)
        return min(fresh, default=now) + PATIENCE - now

    def _note(self, receiver: str, lane: Lane) -> None:
        self._lanes.pop(receiver, None)
        self._lanes[receiver] = lane
        if len(self._lanes) > RECEIVERS_KNOWN:
            del self._lanes[next(iter(self._lanes))]


def _is_broker(receiver: str) -> bool:
    """Ours, and under time limits of its own: never slow through a task's fault. The others have a host and a port."""
    return ":" not in receiver and receiver != "?"
