"""Follow what a task's attempts say, one after the other, until the task has ended."""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol, TypeVar

from gridsidecar.cli.follow import UNKNOWN
from gridsidecar.cli.logs import left_out, state_of
from gridsidecar.cli.task_line import words
from gridsidecar.cli.terminal import clean, clean_text, json_text, say
from gridsidecar.clock import SystemClock
from gridsidecar.errors import StoreUnavailable

if TYPE_CHECKING:
    from gridsidecar.fleet import Tasks
    from gridsidecar.store import OutputPage

T = TypeVar("T")
POLL_EVERY = 1.0  # seconds
HINT_AFTER = 10.0  # seconds without any row


class Writer(Protocol):
    def begin(self, page: OutputPage) -> None:
        """An attempt that was not shown before."""
        ...

    def show(self, page: OutputPage) -> None:
        """What is new."""
        ...

    def end(self, page: OutputPage) -> None:
        """This attempt is over."""
        ...


async def follow(tasks: Tasks, task_id: str, attempt: int | None, writer: Writer) -> bool:
    """Until the task has ended, or the one `attempt` that was asked for; False where it ended without one. A store that
    is away is waited for."""
    clock = SystemClock()
    reader = _Reader(tasks, task_id)
    number, since, begun = attempt, 0, 0
    shown: int | None = 0  # characters from the beginning on; None once some were left out
    while not await reader.over(number):
        page = await reader.output(number, since, shown)
        if page is None:
            await reader.tell_why()
            await clock.sleep(POLL_EVERY)
            continue
        if begun != page.attempt:
            writer.begin(page)
        number = begun = page.attempt
        writer.show(page)
        since = page.next
        shown = _shown(shown, page)
        if page.running or not (page.outcome is not None or page.latest > number or page.status.terminal):
            await clock.sleep(POLL_EVERY)
            continue
        writer.end(page)
        if attempt is not None:
            break
        number, since, shown = number + 1, 0, 0
    return begun > 0


def _shown(before: int | None, page: OutputPage) -> int | None:
    if before is None or any(piece.left_out for piece in page.pieces):
        return None
    return before + sum(len(piece.text) for piece in page.pieces)


class _Reader:
    """Asks, and says once why there is no answer."""

    def __init__(self, tasks: Tasks, task_id: str) -> None:
        self._tasks = tasks
        self._task_id = task_id
        self._clock = SystemClock()
        self._since = self._clock.monotonic()
        self._told: str | None = None
        self._hinted = False
        self._away = ""

    async def over(self, number: int | None) -> bool:
        """The task has ended, and this attempt will not come."""
        newest = await self._answer(self._tasks.newest(self._task_id))
        if newest is None:
            self._hint()
            return False
        status, attempt = newest
        return status.terminal and attempt < (number or 1)

    async def output(self, number: int | None, since: int, shown: int | None) -> OutputPage | None:
        """None: nothing to see now."""
        return await self._answer(self._tasks.output(self._task_id, number, since, shown))

    async def tell_why(self) -> None:
        """What it waits for, once until that is something else."""
        view = await self._answer(self._tasks.get(self._task_id))
        if self._away or (view is not None and not (view["due_in_s"] or view["paused"])):
            return  # it starts at any moment
        told = "" if view is None else f"{view['status']} {view['paused'] or view['next_run_at']}"
        if told != self._told:
            self._told = told
            say(f"waiting for task {self._task_id}: {words(view) if view else UNKNOWN}")

    async def _answer(self, asking: Awaitable[T]) -> T | None:
        try:
            answer = await asking
        except StoreUnavailable as error:
            if str(error) != self._away:
                self._away = str(error)
                say(f"the store is away, waiting for it: {self._away}")
            return None
        self._away = ""
        return answer

    def _hint(self) -> None:
        if not self._hinted and self._clock.monotonic() - self._since > HINT_AFTER:
            self._hinted = True
            say("there is still no such task: is `gridsidecar run` working on its queue, with this store?")


class TextWriter:
    """The text on stdout, as it comes; which attempt says it, and what became of that, on stderr."""

    def __init__(self) -> None:
        self._line_open = False
        self._held = ""  # half of a line's end
        self._shown = False  # something of this attempt

    def begin(self, page: OutputPage) -> None:
        self._shown = False
        say(f"attempt {page.attempt} on {clean(page.worker or 'an unknown worker')}")

    def show(self, page: OutputPage) -> None:
        for piece in page.pieces:
            self._shown = True
            if piece.left_out:
                self._close_line()
                self._write(f"{left_out(piece.left_out)}\n")
            text = self._held + piece.text
            self._held = "\r" if page.running and text.endswith("\r") else ""
            self._write(clean_text(text.removesuffix(self._held) if self._held else text))
        sys.stdout.flush()

    def end(self, page: OutputPage) -> None:
        self._close_line()
        sys.stdout.flush()
        say(
            state_of(page, shown=self._shown)
            if page.lost
            else f"attempt {page.attempt} ended: {page.outcome or page.status}"
        )

    def _write(self, text: str) -> None:
        if text:
            sys.stdout.write(text)
            self._line_open = not text.endswith("\n")

    def _close_line(self) -> None:
        if self._line_open:
            self._write("\n")


class JsonWriter:
    """One object for each piece of text, and one at the end of each attempt."""

    def begin(self, page: OutputPage) -> None:
        pass

    def show(self, page: OutputPage) -> None:
        for piece in page.pieces:
            self._print(page, left_out=piece.left_out, text=piece.text)

    def end(self, page: OutputPage) -> None:
        self._print(page, outcome=page.outcome, task_status=page.status)

    def _print(self, page: OutputPage, **more: object) -> None:
        print(json_text({"task_id": page.task_id, "attempt": page.attempt, "worker": page.worker, **more}), flush=True)
