"""What the conformance program of an SDK does with many tasks at once, as its argument says how many.

A test module subclasses `ManyContract` and has the fixture `program` of `Contract`.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.sdks.contract import Program, case
from tests.sdks.driver import LIMIT, Conversation, Event, cancel, converse, task
from tests.support.cli import gridsidecar

AT_ONCE = "30"


def ends(handler: Conversation, most: int) -> dict[str, Event]:
    """The next terminal messages, by task id; each task has one."""
    found: dict[str, Event] = {}
    while len(found) < most:
        event = handler.event()
        if event["type"] in ("result", "error"):
            assert event["task_id"] not in found
            found[event["task_id"]] = event
    return found


def ready(handler: Conversation) -> None:
    said = handler.event()
    assert (said["type"], said["concurrency"], said["capabilities"]) == ("ready", int(AT_ONCE), ["cancel"])


class ManyContract:
    """Duties of every SDK that takes many tasks at once."""

    prints_to_tasks = True

    def test_the_checker_finds_nothing(self, tmp_path: Path, program: Program) -> None:
        options = ("--level", "2", "--strict", "--cases", "--mode", "persistent")
        done = gridsidecar(tmp_path, "check", *options, "--", *program, AT_ONCE)
        assert done.returncode == 0, done.stdout + done.stderr
        for words in ("20 tasks of 1 MiB at once", "the quick before the slow", "5 tasks ended, then it did"):
            assert words in done.stdout

    def test_all_run_at_once_and_each_has_its_own_answer(self, tmp_path: Path, program: Program) -> None:
        with converse([*program, AT_ONCE], "persistent", tmp_path) as handler:
            ready(handler)
            began = time.monotonic()
            names = [f"t{n}" for n in range(30)]
            handler.send(*(task(case("full", seconds=2), task_id=name) for name in names))
            found = ends(handler, 30)
            assert time.monotonic() - began < 40  # one after the other takes a minute
            assert {name: found[name]["result"]["task_id"] for name in names} == dict(zip(names, names, strict=True))
            assert handler.close() == 0

    def test_failures_and_a_cancel_are_one_tasks_own(self, tmp_path: Path, program: Program) -> None:
        with converse([*program, AT_ONCE], "persistent", tmp_path) as handler:
            ready(handler)
            handler.send(task(case("stop"), task_id="stopped"), task(case("full", seconds=1), task_id="slow"))
            handler.send(task(case("fail"), task_id="bad"), task({"n": 1}, task_id="good"))
            handler.send(cancel("nobody"), cancel("stopped"))
            found = ends(handler, 4)
            assert Counter(event["type"] for event in found.values()) == {"result": 2, "error": 2}
            assert (found["bad"]["error_type"], found["good"]["result"]) == ("RangeError", {"n": 1})
            assert found["slow"]["result"]["task_id"] == "slow"
            assert found["stopped"]["type"] == "error"

    def test_the_end_of_stdin_waits_for_all(self, tmp_path: Path, program: Program) -> None:
        with converse([*program, AT_ONCE], "persistent", tmp_path) as handler:
            ready(handler)
            handler.send(*(task(case("full", seconds=0.5), task_id=f"t{n}") for n in range(9)))
            assert handler.close() == 0
            said = Counter(event["type"] for event in handler.rest())
            assert said["result"] == 9

    def test_sigterm_ends_all_and_says_nothing_for_them(self, tmp_path: Path, program: Program) -> None:
        with converse([*program, AT_ONCE], "persistent", tmp_path) as handler:
            ready(handler)
            handler.send(*(task(case("stop"), task_id=f"t{n}") for n in range(9)))
            waiting = 0
            while waiting < 9:
                waiting += handler.event().get("progress_message") == "waiting"
            os.kill(handler.process.pid, signal.SIGTERM)
            assert handler.process.wait(LIMIT) == 143
            assert {event["type"] for event in handler.rest()} <= {"log"}

    def test_what_is_printed_is_its_tasks(self, tmp_path: Path, program: Program) -> None:
        if not self.prints_to_tasks:
            return
        with converse([*program, AT_ONCE], "persistent", tmp_path) as handler:
            ready(handler)
            handler.send(*(task(case("noise"), task_id=f"t{n}") for n in range(5)))
            said: dict[str, list[Any]] = {f"t{n}": [] for n in range(5)}
            left = 5
            while left:
                event = handler.event()
                left -= event["type"] in ("result", "error")
                said[event["task_id"]].append(event.get("message", event.get("result")))
            forged = '{"gs":1,"type":"result","result":"forged"}'
            assert said == {name: [forged, "no line end, then ", {"said": "plainly"}] for name in said}
