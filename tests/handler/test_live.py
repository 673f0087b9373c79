"""What of a log is stored while its attempt runs: nothing twice, nothing missing but what is told, and never much."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gridsidecar.handler.capture import KEPT_BYTES, LogText
from gridsidecar.handler.live import GROWING_BYTES, LiveText
from gridsidecar.rules.task import NewOutput

MOST_PARTS = 2 * (KEPT_BYTES // GROWING_BYTES + 2)


class Table:
    """What a database would hold."""

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}

    def take(self, news: NewOutput) -> None:
        self.parts |= {part.start: part.data for part in news.parts}
        if news.outdated is not None:
            start, until = news.outdated
            self.parts = {at: data for at, data in self.parts.items() if not start <= at < until}

    def check(self, said: bytes) -> None:
        end = 0
        for at, data in sorted(self.parts.items()):
            assert at >= end, "two parts overlap"
            assert said[at : at + len(data)] == data
            end = at + len(data)
        assert end == len(said)
        assert len(self.parts) <= MOST_PARTS
        assert sum(map(len, self.parts.values())) <= 4 * KEPT_BYTES


# How much is said between two looks, and whether the database takes it.
TICKS = st.lists(
    st.tuples(st.sampled_from([0, 1, 100, 3000, 5000, 40_000, 70_000, 200_000]), st.booleans()), max_size=40
)


@settings(max_examples=150, deadline=None)
@given(TICKS)
def test_whatever_is_said_and_whenever_the_database_is_away(ticks: list[tuple[int, bool]]) -> None:
    log, said, table = LogText(), bytearray(), Table()
    live = LiveText(log)
    for index, (size, taken) in enumerate(ticks):
        data = bytes((index + place) % 26 + 97 for place in range(size))
        log.write(data, "stdout")
        said += data
        news = live.news()
        if taken:
            table.take(news)
            live.stored(news)
            table.check(bytes(said))


def test_a_reply_that_was_lost_does_no_harm() -> None:
    log, table = LogText(), Table()
    live = LiveText(log)
    log.write(b"one\n", "stdout")
    table.take(live.news())  # and nobody heard of it
    log.write(b"two\n", "stdout")
    table.take(live.news())
    assert table.parts == {0: b"one\ntwo\n"}


def test_who_says_little_by_little_makes_few_parts_and_loses_nothing_of_the_last_64_kib() -> None:
    log, table = LogText(), Table()
    live = LiveText(log)
    for number in range(20_000):
        log.write(b"%07d\n" % number, "stdout")
        news = live.news()
        table.take(news)
        live.stored(news)
        assert sum(len(part.data) for part in news.parts) <= 2 * GROWING_BYTES
    assert len(table.parts) <= MOST_PARTS
    tail = b"".join(data for at, data in sorted(table.parts.items()) if at >= log.head_size)
    assert len(tail) >= KEPT_BYTES
    assert tail.endswith(b"0019998\n0019999\n")


def test_of_a_flood_the_beginning_and_the_end_are_stored() -> None:
    log, table = LogText(), Table()
    live = LiveText(log)
    for _ in range(10):
        log.write(b"x" * 10_000_000, "stdout")
        news = live.news()
        assert sum(len(part.data) for part in news.parts) <= 2 * KEPT_BYTES
        table.take(news)
        live.stored(news)
    assert min(table.parts) == 0
    assert max(at + len(data) for at, data in table.parts.items()) == 100_000_000
    assert sum(map(len, table.parts.values())) <= 3 * KEPT_BYTES


def test_nothing_new_is_nothing_to_store() -> None:
    live = LiveText(LogText())
    assert live.news() == NewOutput()
    log = LogText()
    live = LiveText(log)
    log.write(b"x", "stdout")
    live.stored(live.news())
    assert live.news() == NewOutput()
