"""Carries out what `tasks cancel`, `tasks retry` and `operations resume` ask for, and tells what came of each task."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from gridsidecar.cli.cancel_and_retry import Wish
from gridsidecar.cli.terminal import agreed, clean, console, interactive, json_text, must_ask, say
from gridsidecar.cli.times import local_time
from gridsidecar.config.handled_types import is_handled
from gridsidecar.errors import EX_FAILED, EX_OK, GridSidecarError
from gridsidecar.fleet import FleetSteering, Found, Where, reach
from gridsidecar.language import counted, translated
from gridsidecar.operations.steering import possible
from gridsidecar.rules.steering import Steered
from gridsidecar.store import NotDriven, OperationKind

if TYPE_CHECKING:
    from rich.progress import Progress

    from gridsidecar.config.settings import Settings
    from gridsidecar.fleet import Tasks

AT_ONCE = 500  # ids that need no stored operation
LOOKED_AT = 500  # tasks that run again, for their types
WORDS = {
    Steered.CANCELLED: "cancelled",
    Steered.ASKED: "runs, its worker is told",
    Steered.NOTED: "not known yet, will not run when it comes",
    Steered.RETRIED: "runs again",
    Steered.NOT_FOUND: "unknown",
    Steered.NOT_SEEN: "was cancelled before its message came; it can run again when that is here",
    Steered.NO_MESSAGE: "its row does not hold its message; submit it again",
    Steered.REFUSED_MESSAGE: "its message was refused; `gridsidecar dead replay` runs it again",
    Steered.UNREACHABLE: "an earlier system runs it and cannot be told; noted, should its message come back",
    Steered.NOT_STORABLE: "the database refuses the change",
}


SUMMARY = {
    Steered.CANCELLED: "cancelled",
    Steered.ASKED: "running and being stopped",
    Steered.NOTED: "not known yet, not to run when their messages come",
    Steered.RETRIED: "to run again",
    Steered.NOT_FOUND: "unknown",
    Steered.NOT_SEEN: "cancelled before their messages came",
    Steered.NO_MESSAGE: "without their messages in the table",
    Steered.REFUSED_MESSAGE: "with a message that was refused",
    Steered.UNREACHABLE: "run by an earlier system",
    Steered.NOT_STORABLE: "that the database refuses to change",
}


WOULD = {
    Steered.CANCELLED: "would be cancelled",
    Steered.ASKED: "runs, its worker would be told",
    Steered.NOTED: "not known yet, would not run when it comes",
    Steered.RETRIED: "would run again",
}


def words_of(outcome: Steered, *, dry_run: bool = False) -> str:
    """Of one task, for people."""
    would = WOULD.get(outcome) if dry_run else None
    return would or WORDS.get(outcome) or f"left alone, it is {outcome.state}"


def summary_of(outcome: Steered) -> str:
    """Of however many, after their number."""
    return SUMMARY.get(outcome) or f"left alone, being {outcome.state}"


class SteeringPrinter:
    """A line of stdout for each task, and how many came to what."""

    def __init__(self, as_json: bool, dry_run: bool = False) -> None:
        self._as_json = as_json
        self._dry_run = dry_run
        self.counts: Counter[Steered] = Counter()
        self.again: list[str] = []  # the first that run again
        self._bar: Progress | None = None

    def add(self, outcomes: Mapping[str, Steered]) -> None:
        self.counts.update(outcomes.values())
        again = [task_id for task_id, outcome in outcomes.items() if outcome is Steered.RETRIED]
        self.again += again[: LOOKED_AT - len(self.again)]
        print(
            "\n".join(self._line(*one) for one in outcomes.items()), flush=True
        )  # one write: a bar is drawn anew for each
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.counts.total())

    def _line(self, task_id: str, outcome: Steered) -> str:
        if self._as_json:
            told = {"task_id": task_id, "outcome": outcome.value, "done": outcome.done}
            return json_text(told | {"dry_run": True} if self._dry_run else told)
        return f"{clean(task_id)}  {translated(words_of(outcome, dry_run=self._dry_run))}"

    def bar(self, total: int) -> AbstractContextManager[Any]:
        """A bar on a terminal, as long as this lasts."""
        if not interactive(sys.stderr):
            return nullcontext()
        from rich.progress import Progress

        self._bar = Progress(console=console(sys.stderr), transient=True, redirect_stdout=sys.stdout.isatty())
        self._bar.add_task("", total=total)
        return self._bar

    def close(self) -> int:
        """The summary on stderr; the exit code."""
        parts = [f"{count:,} {summary_of(outcome)}" for outcome, count in self.counts.most_common()]
        head = "a dry run, nothing was changed; of " if self._dry_run else ""
        say(f"{head}{counted(self.counts.total())}: {'; '.join(parts)}")
        return EX_OK if all(outcome.done for outcome in self.counts) else EX_FAILED


async def steer(asked: Where, wish: Wish) -> int:
    """The exit code. For a cancel by id the tables are made where there are none yet: the first worker may start only
    now."""
    makes = wish.kind is OperationKind.CANCEL and bool(wish.ids) and not wish.dry_run
    report = SteeringPrinter(wish.as_json, wish.dry_run)
    async with reach(asked, makes=makes) as fleet:
        code = await (_dry_run if wish.dry_run else _asked_for)(fleet.steering, wish, report)
        if asked.settings is not None:
            await _say_unhandled(asked.settings, fleet.tasks, report.again)
        return code


async def _asked_for(steering: FleetSteering, wish: Wish, report: SteeringPrinter) -> int:
    if not wish.ids:
        found = await steering.count(wish.kind, wish.filter)
        if not found.count:
            return _nothing(found)
        if not _confirmed(wish, found):
            return EX_FAILED
    return await _carry_out(steering, wish, report)


async def _say_unhandled(settings: Settings, tasks: Tasks, ids: list[str]) -> None:
    """Which types of these no handler takes here: unless another worker has one, they are refused once more."""
    found: dict[str, None] = {}
    with suppress(GridSidecarError):  # what was asked for is done
        for task_id in ids:
            task = await tasks.get(task_id)
            if task is not None and not is_handled(settings, task["task_type"]):
                found[task["task_type"]] = None
    for task_type in found:
        say(f"no handler of this configuration takes the type {task_type}; it runs only where a worker has one")


async def _carry_out(steering: FleetSteering, wish: Wish, report: SteeringPrinter) -> int:
    if wish.ids and len(wish.ids) <= AT_ONCE and not wish.spread:
        outcomes = await steering.steer(wish.kind, wish.ids)
        report.add({task_id: outcomes[task_id] for task_id in dict.fromkeys(wish.ids)})
        return _closed(report, steering)
    ids, impossible = possible(dict.fromkeys(wish.ids))
    if impossible:
        report.add(impossible)
    if wish.ids and not ids:
        return report.close()
    operation = await steering.begin(wish.kind, ids, wish.filter, wish.spread)
    return await drive(steering, operation, report)


async def drive(steering: FleetSteering, operation: str, report: SteeringPrinter) -> int:
    """An operation to its end; the exit code. What breaks it off says how it goes on."""
    say(f"operation {operation}")
    try:
        with report.bar(await _expected(steering, operation)):
            async for outcomes in steering.drive(operation):
                report.add(outcomes)
    except NotDriven:
        raise
    except BaseException as error:
        say(
            f"the operation is not finished: {steering.goes_on.format(operation=operation)}; "
            f"`gridsidecar operations stop {operation}` ends it"
        )
        if not isinstance(error, GridSidecarError):  # whoever drives it is there: nobody has to wait for us
            await steering.leave(operation)
        raise
    return _closed(report, steering)


async def _expected(steering: FleetSteering, operation: str) -> int:
    """Tasks, for a bar; 0 where that is not known yet."""
    if not interactive(sys.stderr):
        return 0
    known = await steering.operation(operation)
    return 0 if known is None else known["tasks"]


def _closed(report: SteeringPrinter, steering: FleetSteering) -> int:
    code = report.close()
    if steering.unsent is not None and report.counts[Steered.RETRIED]:
        say(f"the broker is away ({steering.unsent}); workers bring the tasks back once it is there")
    return code


async def _dry_run(steering: FleetSteering, wish: Wish, report: SteeringPrinter) -> int:
    async for outcomes in steering.preview(wish.kind, wish.ids, wish.filter):
        report.add(outcomes)
    return report.close() if report.counts else _nothing(await steering.count(wish.kind, wish.filter))


def _nothing(found: Found) -> int:
    say(f"no such tasks ({_filter_words(found)})")
    return EX_OK


def _confirmed(wish: Wish, found: Found) -> bool:
    tasks = counted(found.count)
    question = f"{wish.kind} {tasks} ({_filter_words(found)})?"
    if not must_ask(wish.yes, f"tasks {wish.kind} by a filter", f"would {wish.kind} {tasks}"):
        say(question.removesuffix("?"))
        return True
    return agreed(question)


def _filter_words(found: Found) -> str:
    asked = dict(found.asked)
    states = ", ".join(asked.pop("status"))
    asked |= {name: local_time(asked[name]) for name in ("since", "until") if name in asked}
    return "; ".join([states, *(f"{name.replace('_', ' ')} {value}" for name, value in asked.items())])
