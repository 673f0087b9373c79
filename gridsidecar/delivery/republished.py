"""How soon a message may go to the end of the queue once more, where nothing can be delayed."""

from __future__ import annotations

from gridsidecar.clock import Clock

GAP = 1.0  # seconds, at least, between two rounds of one message through this worker
MOST = 10_000  # messages that are remembered; a queue with more of them takes longer than that for a round


class Republished:
    """Whatever waits in hand takes a place from others. Behind a hundred messages one has waited long enough when it is
    here again, so that only in a short queue it is held, for what is left of the gap."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent_at: dict[int, float] = {}  # by a hash of the body, the longest ago first

    def __contains__(self, body: bytes) -> bool:
        return hash(body) in self._sent_at

    def rest(self, body: bytes) -> float:
        """Seconds to hold the message before it is sent; none where it has not been round."""
        sent_at = self._sent_at.get(hash(body))
        return 0.0 if sent_at is None else max(0.0, sent_at + GAP - self._clock.monotonic())

    def sent(self, body: bytes) -> None:
        """It went to the end of the queue."""
        self._sent_at.pop(hash(body), None)
        self._sent_at[hash(body)] = self._clock.monotonic()
        if len(self._sent_at) > MOST:
            del self._sent_at[next(iter(self._sent_at))]
