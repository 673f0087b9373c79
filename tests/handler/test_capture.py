"""What is kept of a handler's output, and the evidence for lack of memory."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gridsidecar.handler.capture import LogText, Tail
from gridsidecar.handler.oom import OomCounter

parts = st.lists(st.text(st.sampled_from("ab\né漢🙂"), max_size=12))


@given(parts)
def test_head_tail_and_count_are_the_whole(parts: list[str]) -> None:
    log = LogText(limit=10)
    for part in parts:
        log.write(part.encode(), "stdout")
    text = "".join(parts).encode()
    assert text.startswith(log.head.encode())
    assert len(log.head.encode()) <= 10
    if not log.dropped_bytes:
        assert (log.head + log.tail).encode() == text
    assert len(text) == len(log.head.encode()) + log.dropped_bytes + min(10, len(text) - len(log.head.encode()))


def test_sources_do_not_share_a_line() -> None:
    log = LogText()
    for text, source in (("half", "stdout"), ("other\n", "stderr"), ("a", "stdout"), ("b\n", "stdout")):
        log.write(text.encode(), source)
    assert log.head == "half\nother\nab\n"


def test_a_tail_keeps_the_end() -> None:
    tail = Tail(5)
    for part in (b"abc", b"def", b"g" * 20, b"h"):
        tail.write(part)
    assert tail.bytes() == b"ggggh"


def test_the_last_line_that_says_something() -> None:
    tail = Tail(1000)
    tail.write(b"one\n  two \xff \n\n \n")
    assert tail.last_line() == "two \ufffd"
    tail.write(b"x" * 600)
    assert tail.last_line() == "x" * 256
    assert Tail(5).last_line() == ""


def test_kills_for_lack_of_memory_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "memory.events"
    path.write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 4\noom_group_kill 0\n")
    counter = OomCounter(path)
    assert counter.kills() == 4
    path.write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 15\noom_group_kill 0\n")
    assert counter.kills() == 15
    counter.close()
    assert counter.kills() == 0
    assert OomCounter(tmp_path / "none").kills() == OomCounter(None).kills() == 0
