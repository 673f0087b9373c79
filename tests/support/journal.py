"""What the handlers of a test did, as they wrote it down: who ran when, how often, and whether runs overlapped."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a handler; `ended` is None while it goes on, or when it was killed and nobody noted it."""

    task_id: str
    attempt: int
    pid: int
    started: float  # wall clock
    ended: float | None
    finished: bool  # it came to its own end


class Journal:
    """A file that handlers append lines `word task attempt pid time` to; so task ids need to be without spaces."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def note_killed(self, pids: Iterable[int]) -> None:
        """These processes are dead by now."""
        with self.path.open("a") as file:
            for pid in pids:
                file.write(f"killed - 0 {pid} {time.time():.6f}\n")

    def note_dead(self) -> None:
        """Whoever did not come to its end and is gone was killed before now."""
        running = [run.pid for run in self.runs() if run.ended is None]
        self.note_killed(pid for pid in running if not Path(f"/proc/{pid}").exists())

    def kill(self, pids: Iterable[int]) -> None:
        """End these processes, as the end of their pod does, and note it."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.note_killed([pid])

    def words(self, word: str) -> list[str]:
        """The tasks that wrote this word, in order."""
        return [line[1] for line in self._lines() if line[0] == word]

    @property
    def started(self) -> list[str]:
        return self.words("start")

    @property
    def ended(self) -> list[str]:
        return self.words("end")

    def runs(self) -> list[Run]:
        """In the order of their starts."""
        lines = self._lines()
        ends = {(task, attempt, pid): float(at) for word, task, attempt, pid, at in lines if word == "end"}
        deaths = _deaths(lines)
        return [
            Run(
                task,
                int(attempt),
                int(pid),
                float(at),
                ends.get((task, attempt, pid), deaths.get(number)),
                (task, attempt, pid) in ends,
            )
            for number, (word, task, attempt, pid, at) in enumerate(lines)
            if word == "start"
        ]

    def of(self, task_id: str) -> list[Run]:
        return [run for run in self.runs() if run.task_id == task_id]

    def overlaps(self) -> list[tuple[Run, Run]]:
        """Pairs of runs of one task of which the second began before the first was over."""
        by_task = defaultdict(list)
        for run in sorted(self.runs(), key=lambda run: run.started):
            by_task[run.task_id].append(run)
        return [
            (first, second)
            for runs in by_task.values()
            for first, second in combinations(runs, 2)
            if first.ended is None or second.started < first.ended
        ]

    def most_at_once(self) -> int:
        """The largest number of runs that went on at the same time."""
        steps = [(run.started, 1) for run in self.runs()]
        steps += [(run.ended, -1) for run in self.runs() if run.ended is not None]
        now = most = 0
        for _, step in sorted(steps):
            now += step
            most = max(most, now)
        return most

    def _lines(self) -> list[list[str]]:
        return [line.split(" ") for line in self.path.read_text().splitlines()]


def _deaths(lines: list[list[str]]) -> dict[int, float]:
    """When runs were killed, by the number of the line of their start: process numbers are used again, and who notes a
    death for the second time knows it no better."""
    deaths: dict[int, float] = {}
    start_of: dict[str, int] = {}
    for number, (word, _, _, pid, at) in enumerate(lines):
        if word == "start":
            start_of[pid] = number
        elif word == "killed" and pid in start_of:
            deaths.setdefault(start_of[pid], float(at))
    return deaths
