"""Carries out what `tasks cancel`, `tasks retry` and `operations resume` ask for, and tells what came of each task."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from gridsidecar.cli.parts import connected, existing_store, open_to_wait, unknown_tasks
from gridsidecar.cli.screen import agreed, clean, console, counted, interactive, json_text, must_ask, say
from gridsidecar.cli.steer import Wish
from gridsidecar.config.settings import Settings
from gridsidecar.errors import EX_FAILED, EX_OK, AccessRefused, BrokerUnavailable, GridSidecarError
from gridsidecar.language import said
from gridsidecar.operations import RULES, Driver, possible
from gridsidecar.steering import Steered
from gridsidecar.store import Filter, Kind, NotDriven, OpenStore, make_store

if TYPE_CHECKING:
    from rich.progress import Progress

AT_ONCE = 500  # ids that need no stored operation
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


def words_of(outcome: Steered) -> str:
    """Of one task, for people."""
    return WORDS.get(outcome) or f"left alone, it is {outcome.state}"


def summary_of(outcome: Steered) -> str:
    """Of however many, after their number."""
    return SUMMARY.get(outcome) or f"left alone, being {outcome.state}"


class Report:
    """A line of stdout for each task, and how many came to what."""

    def __init__(self, as_json: bool, dry_run: bool = False) -> None:
        self._as_json = as_json
        self._dry_run = dry_run
        self.counts: Counter[Steered] = Counter()
        self._bar: Progress | None = None

    def add(self, outcomes: Mapping[str, Steered]) -> None:
        self.counts.update(outcomes.values())
        print(
            "\n".join(self._line(*one) for one in outcomes.items()), flush=True
        )  # one write: a bar is drawn anew for each
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.counts.total())

    def _line(self, task_id: str, outcome: Steered) -> str:
        if self._as_json:
            told = {"task_id": task_id, "outcome": outcome.value, "done": outcome.done}
            return json_text(told | {"dry_run": True} if self._dry_run else told)
        return f"{clean(task_id)}  {said(words_of(outcome))}"

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
        say(f"{head}{counted(self.counts.total())}: {', '.join(parts)}")
        return EX_OK if all(outcome.done for outcome in self.counts) else EX_FAILED


async def steer(settings: Settings, wish: Wish) -> int:
    """The exit code."""
    async with _store(settings, wish) as store:
        if store is None:
            return unknown_tasks(wish.ids, settings) if wish.ids else _nothing(wish.filter)
        if wish.dry_run:
            return await _dry_run(store, wish)
        if not wish.ids:
            count = await store.operations.count(wish.filter)
            if not count:
                return _nothing(wish.filter)
            if not _confirmed(wish, count):
                return EX_FAILED
        async with driver_of(settings, store, wish.kind) as driver:
            return await _carry_out(store, driver, wish)


async def _carry_out(store: OpenStore, driver: Driver, wish: Wish) -> int:
    report = Report(wish.as_json)
    if wish.ids and len(wish.ids) <= AT_ONCE and not wish.spread:
        outcomes = await driver.steer(wish.kind, wish.ids)
        report.add({task_id: outcomes[task_id] for task_id in dict.fromkeys(wish.ids)})
        return _closed(report, driver)
    if wish.ids:
        ids, impossible = possible(wish.ids)
        if impossible:
            report.add(impossible)
        if not ids:
            return report.close()
        operation = await store.operations.begin_with(wish.kind, ids, wish.spread)
    else:
        operation = await store.operations.begin(wish.kind, wish.filter, wish.spread)
    return await drive(store, driver, operation, report)


async def drive(store: OpenStore, driver: Driver, operation: str, report: Report) -> int:
    """An operation to its end; the exit code. What breaks it off says how it goes on."""
    say(f"operation {operation}")
    known = await store.operations.get(operation)
    total = known.total if known and known.collected else 0
    try:
        with report.bar(total or await _expected(store, operation)):
            async for outcomes in driver.drive(operation):
                report.add(outcomes)
    except NotDriven:
        raise
    except BaseException as error:
        say(
            f"the operation is not finished: a worker goes on with it within a minute, or "
            f"`gridsidecar operations resume {operation}`; `gridsidecar operations stop {operation}` ends it"
        )
        if not isinstance(error, GridSidecarError):  # the database is there: nobody has to wait for us
            with suppress(GridSidecarError):
                await store.operations.leave(operation)
        raise
    return _closed(report, driver)


async def _expected(store: OpenStore, operation: str) -> int:
    known = await store.operations.get(operation)
    return 0 if known is None else await store.operations.count(Filter.of_dict(known.asked))


def _closed(report: Report, driver: Driver) -> int:
    code = report.close()
    if driver.unsent is not None and report.counts[Steered.RETRIED]:
        say(f"the broker is away ({driver.unsent}); workers bring the tasks back once it is there")
    return code


async def _dry_run(store: OpenStore, wish: Wish) -> int:
    report = Report(wish.as_json, dry_run=True)
    pages = _pages(wish.ids) if wish.ids else store.operations.choose(wish.filter)
    async for page in pages:
        report.add(await store.steering.look(page, RULES[wish.kind]))
    return report.close() if report.counts else _nothing(wish.filter)


async def _pages(ids: list[str]) -> AsyncIterator[list[str]]:
    for start in range(0, len(ids), AT_ONCE):
        yield ids[start : start + AT_ONCE]


def _nothing(chosen: Filter) -> int:
    say(f"no such tasks ({_filter_words(chosen)})")
    return EX_OK


def _confirmed(wish: Wish, count: int) -> bool:
    tasks = counted(count)
    question = f"{wish.kind} {tasks} ({_filter_words(wish.filter)})?"
    if not must_ask(wish.yes, f"tasks {wish.kind} by a filter", f"would {wish.kind} {tasks}"):
        say(question.removesuffix("?"))
        return True
    return agreed(question)


def _filter_words(chosen: Filter) -> str:
    asked = chosen.to_dict()
    states = ", ".join(asked.pop("status"))
    return "; ".join([states, *(f"{name.replace('_', ' ')} {value}" for name, value in asked.items())])


@asynccontextmanager
async def _store(settings: Settings, wish: Wish) -> AsyncIterator[OpenStore | None]:
    """For a cancel by id it is made where there is none yet: the first worker may start only now."""
    if wish.kind is Kind.RETRY or wish.dry_run or not wish.ids:
        async with existing_store(settings) as store:
            yield store
        return
    store = make_store(settings.store, settings.broker.queue)
    try:
        await open_to_wait(store, settings)
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def driver_of(settings: Settings, store: OpenStore, kind: Kind) -> AsyncIterator[Driver]:
    """A retry holds without a broker, too: then workers bring its tasks back."""
    if kind is Kind.CANCEL:
        yield Driver(store, None)
        return
    async with connected(settings.broker) as broker:
        try:
            await broker.open()
        except (BrokerUnavailable, AccessRefused) as error:
            yield Driver(store, None, str(error))
        else:
            yield Driver(store, broker)
