"""Lines of handlers in the worker's own log: whole, marked with their task, and never more than it can take."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from gridsidecar.clock import SystemClock
from gridsidecar.rules.task import Claim, Message, Task
from gridsidecar.telemetry.output_log import BYTES_PER_SECOND, LINES_PER_SECOND, LONGEST_LINE, AttemptLines, OutputLog


class Slow(SystemClock):
    """Time that a test lets pass."""

    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[str, dict[str, object]]] = []
        self.levels: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.levels.append(record.levelname)
        self.records.append((record.getMessage(), record.fields))  # type: ignore[attr-defined]

    @property
    def lines(self) -> list[object]:
        return [fields["line"] for event, fields in self.records if event == "handler output"]

    @property
    def left_out(self) -> int:
        return sum(int(str(fields["lines"])) for event, fields in self.records if "left out" in event)


@pytest.fixture
def heard() -> Iterator[Heard]:
    log, heard = logging.getLogger("gridsidecar"), Heard()
    log.addHandler(heard)
    level = log.level
    log.setLevel("INFO")
    yield heard
    log.setLevel(level)
    log.removeHandler(heard)


@pytest.fixture
def clock() -> Slow:
    return Slow()


@pytest.fixture
def lines(clock: Slow) -> AttemptLines:
    claim = Claim(task=Task(task_id="t", message=Message(body=b"")), attempt=2, worker_id="w", max_retry_count=0)
    return OutputLog(clock).of(claim)


def test_lines_come_whole_and_say_whose_they_are(lines: AttemptLines, heard: Heard) -> None:
    lines.hear(b"on", "stdout")
    lines.hear(b"error\r\n", "stderr")
    lines.hear(b"e\n\ntw", "stdout")
    lines.hear(b"level: an event\n", "log")
    assert heard.lines == ["error", "one", ""]
    lines.close()
    assert heard.lines == ["error", "one", "", "tw"]
    assert heard.records[0] == ("handler output", {"task_id": "t", "attempt": 2, "stream": "stderr", "line": "error"})


def test_a_long_line_is_cut_however_it_comes(lines: AttemptLines, heard: Heard) -> None:
    lines.hear(b"a" * 3 * LONGEST_LINE + b"\nnext\n", "stdout")
    for _ in range(1000):
        lines.hear(b"b" * 100, "stdout")
    lines.hear(b"\nlast\n", "stdout")
    assert heard.lines == ["a" * LONGEST_LINE, "next", "b" * LONGEST_LINE, "last"]


def test_what_is_no_text_is_shown(lines: AttemptLines, heard: Heard) -> None:
    lines.hear("😀".encode() + b" \xff\xe4\n", "stdout")
    assert heard.lines == ["😀 \ufffd\ufffd"]


@pytest.mark.parametrize("size", [1, 100, 1500])
def test_of_a_flood_the_log_takes_what_it_can_and_counts_the_rest(
    lines: AttemptLines, heard: Heard, clock: Slow, size: int
) -> None:
    line = b"x" * size + b"\n"
    for _ in range(50):
        lines.hear(line * 1000, "stdout")
    told = len(heard.lines)
    assert 0 < told <= LINES_PER_SECOND + 1
    assert told * size <= BYTES_PER_SECOND + size
    clock.now_s += 0.5
    lines.hear(line * 1000, "stdout")
    assert 0 < len(heard.lines) - told <= LINES_PER_SECOND // 2 + 2
    lines.close()
    assert len(heard.lines) + heard.left_out == 51_000


def test_a_log_event_is_a_line_at_its_own_level_and_notes_of_ours_are_none(lines: AttemptLines, heard: Heard) -> None:
    lines.hear(b"half a line, ", "stdout")
    lines.hear(b"warning: slow: {1}\nreally\n", "warning")
    lines.hear(b"info: info: twice\n", "info")
    lines.hear(b"debug: hidden\n", "debug")
    lines.hear(b"[ignored: it names another task]\n", "log")
    lines.hear(b"and its end\n", "stdout")
    said = [
        (fields["stream"], level, fields["line"])
        for (_, fields), level in zip(heard.records, heard.levels, strict=True)
    ]
    assert said == [
        ("log", "WARNING", "slow: {1}\nreally"),
        ("log", "INFO", "info: twice"),
        ("stdout", "INFO", "half a line, and its end"),
    ]


def test_of_a_flood_of_events_the_rest_is_counted(lines: AttemptLines, heard: Heard) -> None:
    for number in range(3 * LINES_PER_SECOND):
        lines.hear(f"error: {number}\n".encode(), "error")
    lines.close()
    assert len(heard.lines) + heard.left_out == 3 * LINES_PER_SECOND
    assert heard.left_out >= LINES_PER_SECOND
