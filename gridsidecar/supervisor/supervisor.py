"""Starts the sidecar's processes, replaces those that die, and decides for all of them when to leave."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gridsidecar import telemetry
from gridsidecar.clock import SystemClock, backoff, system_random
from gridsidecar.errors import (
    EX_CONFIG,
    EX_FAILED,
    EX_OK,
    EX_REFUSED,
    EX_UNAVAILABLE,
    EX_USAGE,
    GridSidecarError,
)
from gridsidecar.handler import reaper
from gridsidecar.metrics.statistics import Statistics
from gridsidecar.metrics.tally import Series, lasting, total
from gridsidecar.metrics.worker import OwnFigures
from gridsidecar.rules.task import Status
from gridsidecar.runtime import signals
from gridsidecar.runtime.health import Health, Vitals, of_all
from gridsidecar.runtime.pulse import Pulse
from gridsidecar.supervisor.child import Child
from gridsidecar.supervisor.hooks import WorkerHooks
from gridsidecar.supervisor.plan import Plan
from gridsidecar.supervisor.run_limits import until_limit_reached
from gridsidecar.supervisor.slot_allocator import SlotAllocator
from gridsidecar.supervisor_link import Leave

if TYPE_CHECKING:
    from gridsidecar.http import ApiServer

ASK_INTERVAL = 1.0  # seconds between an answer of a process and the next question
LEAST_SILENCE = 10  # seconds that a process may be silent, if its lease is shorter
API_GRACE = 2.0  # seconds for requests that are being answered
MAX_START = 60  # seconds until a new one must answer
LONGEST_PAUSE = 30.0  # seconds before one that died again and again is replaced
STEADY = 60.0  # seconds after which a process no longer counts as one that dies again and again
MAX_BROKEN = 30  # looks, about a second each, at a process in which something is broken, until it is replaced
# What a process ends with on purpose: the next one would say the same.
MEANT = (EX_USAGE, EX_UNAVAILABLE, EX_REFUSED, EX_CONFIG)


class Supervisor:
    """One run, from start to exit code. In its event loop nothing waits for a server."""

    def __init__(self, plan: Plan, plan_fd: int) -> None:
        self._plan = plan
        self._plan_fd = plan_fd
        self._worker: dict[str, Any] = plan.settings["worker"]
        self._rng = system_random()
        self._slots = SlotAllocator(plan.shared)
        self._vitals = Vitals()
        self._pulse = Pulse(self.health, self._worker["heartbeat_file"])
        self._children: dict[int, Child] = {}  # by place
        self._lives = 0
        self._hooks = WorkerHooks(plan, plan_fd)
        self._ready = asyncio.Event()  # the first process may take tasks, as far as it is concerned
        self._begun = False  # all may
        self._leave: Leave | None = None
        self._leaving = asyncio.Event()
        self._signalled = False
        self._code = EX_OK
        self._past: Counter[Status] = Counter()  # figures of those that are gone
        self._past_series: Series = {}
        self._own = OwnFigures(plan.settings["broker"]["queue"], lambda: self._pulse.lag)
        self._left: int | None = None  # what the last of them said that is left in the queue
        self._statistics = Statistics(
            SystemClock(), plan.settings["log"]["stats_interval"], self._running, self._left_in_queue
        )

    async def run(self) -> int:
        """Until all processes have left; the exit code."""
        self._listen_to_signals()
        reaper.become_subreaper()
        reaper.hide_from_children()
        reaper.know_marks(self._plan.marks)
        telemetry.info(
            "running as several processes",
            processes=self._plan.processes,
            concurrency=self._worker["concurrency"],
            worker=self._worker["name"],
        )
        api = _api(self._plan, self)
        if api is not None:
            api.start()
        self._pulse.start(self._vitals)
        beside = [asyncio.create_task(step) for step in (self._beside(self._start()), self._beside(self._sweep()))]
        try:
            await asyncio.gather(*(self._keep(number) for number in range(1, self._plan.processes + 1)))
            await self._finish()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            if api is not None:
                await api.stop(API_GRACE)
            await self._pulse.stop()
        return self._code

    # -- signals, and leaving -----------------------------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in signals.leaving():
            loop.add_signal_handler(number, self._on_signal, number)

    def _deafen(self) -> None:
        """All is done: to be told to go once more must not change the exit code."""
        for number in signals.leaving():
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: signal.Signals) -> None:
        again, self._signalled = self._signalled, True
        self._go(Leave(f"{number.name} received", demanded=True, hurry=again))

    def _go(self, word: Leave) -> None:
        """The first reason stands; what follows is only passed on."""
        self._leave = self._leave or word
        self._leaving.set()
        self._hooks.stop(hurry=word.hurry)
        for child in self._children.values():
            child.leave(word)

    def _end_for(self, code: int, why: str) -> None:
        self._code = self._code or code
        self._go(Leave(why, demanded=True))

    # -- processes ----------------------------------------------------------------------------------------------------

    async def _keep(self, number: int) -> None:
        """One place, and one process after the other in it."""
        loop = asyncio.get_running_loop()
        failures = 0
        while self._leave is None:
            began = loop.time()
            try:
                child = self._new_child(number)
            except OSError as error:
                telemetry.error("a process cannot be started", worker=self._name(number), reason=str(error))
            else:
                await self._until_gone(child)
            if self._leave is None:
                failures = 1 if loop.time() - began > STEADY else failures + 1
                await self._pause(backoff(failures, base=0.5, limit=LONGEST_PAUSE, rng=self._rng))

    def _new_child(self, number: int) -> Child:
        self._lives += 1
        child = Child(self._plan_fd, number, self._lives, self._slots, lambda: self._one_is_ready(number))
        self._children[number] = child
        return child

    async def _until_gone(self, child: Child) -> None:
        watch = self._vitals.start(f"watching process {child.number}", self._watch(child))
        code = await child.program.ended
        watch.cancel()
        child.close()
        del self._children[child.number]
        self._past_series = total((self._past_series, lasting(child.series)))
        self._past.update({Status(status): count for status, count in child.counts.items()})
        self._left = child.left
        self._count()
        await reaper.finish()  # what it ran
        self._slots.drop(child.life)
        self._judge(child, code)

    def _judge(self, child: Child, code: int) -> None:
        """What the end of a process means for the others."""
        how: dict[str, object] = {"exit_code": code} if code >= 0 else {"signal": signal.Signals(-code).name}
        fields = {"worker": self._name(child.number), "pid": child.program.pid, **how}
        if self._leave is not None:
            if code in (EX_OK, -signal.SIGTERM):
                return
            telemetry.error("a process did not leave in peace", **fields)
            self._code = self._code or (code if code > 0 else EX_FAILED)
        elif code in MEANT or (code > 0 and not child.ready):
            self._end_for(code, f"a process ended with {code}")
        else:
            telemetry.error("a process ended, it is replaced", **fields)

    async def _watch(self, child: Child) -> None:
        """Counted in turns of our own: when all of us stood still, nobody was silent."""
        max_wait = max(MAX_START, self._worker["lease"])
        broken = 0
        while True:
            answered = child.report()
            turns = 0
            while not answered.done():
                if turns >= max_wait:
                    telemetry.error(
                        "a process does not answer, it is killed",
                        worker=self._name(child.number),
                        pid=child.program.pid,
                        seconds=turns,
                    )
                    return child.program.signal(signal.SIGKILL)
                await asyncio.wait({answered}, timeout=1.0)
                turns += 1
            max_wait = max(LEAST_SILENCE, self._worker["lease"])
            self._count()
            broken = broken + 1 if child.health.broken else 0
            if broken == MAX_BROKEN:
                self._replace(child)
            await asyncio.sleep(ASK_INTERVAL)

    def _replace(self, child: Child) -> None:
        """What would be done to a single process whose liveness probe fails."""
        telemetry.error(
            "a process is broken, it is replaced",
            worker=self._name(child.number),
            pid=child.program.pid,
            parts=",".join(child.health.broken),
        )
        child.leave(Leave("a part of this process is broken", demanded=True))

    def _name(self, number: int) -> str:
        return f"{self._worker['name']}-{number}"

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not past a reason to leave."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._leaving.wait()

    async def _sweep(self) -> None:
        """Orphans come to us at any time, as they do to PID 1."""
        while True:
            await asyncio.sleep(1.0)
            reaper.sweep(asyncio.get_running_loop())

    # -- the beginning and the end ------------------------------------------------------------------------------------

    def _one_is_ready(self, number: int) -> None:
        self._ready.set()
        if self._begun:
            self._children[number].begin()

    async def _beside(self, step: Coroutine[None, None, None]) -> None:
        try:
            await step
        except Exception as error:
            telemetry.unexpected_error(error)
            self._end_for(EX_FAILED, "an error")

    async def _start(self) -> None:
        """The hook that comes before the first task, when the servers are there; then the work, until it is over."""
        await self._ready.wait()
        code = await self._hooks.start()
        if code:
            self._end_for(code if code > 0 else EX_FAILED, "on_startup failed")
        elif self._leave is None:
            self._begun = True
            self._statistics.start(self._vitals)
            for child in self._children.values():
                if child.ready:
                    child.begin()
            self._go(await until_limit_reached(self._worker, self._all_children))

    def _all_children(self) -> list[Child] | None:
        """None while one is missing or not ready."""
        children = [child for child in self._children.values() if child.ready]
        return children if len(children) == self._plan.processes else None

    async def _finish(self) -> None:
        """All have left."""
        await self._hooks.shut_down()
        self._deafen()
        await self._statistics.stop()
        await reaper.finish()

    # -- figures ------------------------------------------------------------------------------------------------------

    def health(self) -> Health:
        """How all of us are: a process that is broken or silent is replaced, so only we can need a restart."""
        whole = of_all((child.health for child in self._children.values()), self._vitals.broken)
        return whole if self._leave is None else Health(whole.broken, {"worker": "draining"})

    async def metrics(self) -> Series:
        """Of all of us; what the dead have counted stays."""
        return total((self._past_series, self._own.series(), *(child.series for child in self._children.values())))

    def _count(self) -> None:
        total = Counter(self._past)
        for child in self._children.values():
            total.update({Status(status): count for status, count in child.counts.items()})
        self._statistics.counts = total

    def _running(self) -> int:
        return sum(child.figures.running for child in self._children.values() if child.figures is not None)

    async def _left_in_queue(self) -> int:
        """Asked through any process."""
        for child in self._children.values():
            if child.ready and (state := await child.queue_state()) is not None and state.left is not None:
                return state.left
        if self._left is None:
            raise GridSidecarError("nobody can say what is left in the queue")
        return self._left


def _api(plan: Plan, shown: Supervisor) -> ApiServer | None:
    """Loaded only where it is asked for: the settings alone take more memory than all the rest here."""
    if plan.settings["http"]["listen"] is None:
        return None
    from gridsidecar.config.settings import Settings
    from gridsidecar.http import ApiServer

    return ApiServer(Settings.model_validate(plan.settings), SystemClock(), shown)
