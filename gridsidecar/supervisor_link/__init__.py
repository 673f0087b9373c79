"""What one of several processes of a sidecar and their supervisor say to each other; here is the process's end."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import asdict

from gridsidecar.supervisor_link.message_socket import LARGEST, MessageSocket, Packet


class ProcessFigures(Struct, frozen=True):
    """How a process is doing."""

    idle: float  # seconds without work
    running: int  # attempts
    counts: Mapping[Any, int]  # ended attempts by status
    broken: Mapping[str, str]  # what only a restart can cure, by part
    not_ready: Mapping[str, str]  # what keeps it from taking tasks, by part


class QueueState(Struct, frozen=True):
    """What a process found in the queue."""

    left: int | None  # messages that wait there; None: nobody knows
    quiet: bool  # none, and this process has nothing to do either
    active_at: float  # unlike before when it had something to do meanwhile


class Leave(Struct, frozen=True):
    """A word to leave."""

    why: str
    finishes_work: bool = False  # the work is done: what still arrives is work, too
    demanded: bool = False  # somebody wants it
    hurry: bool = False  # … and said so before
    unsupervised: bool = False  # nobody would notice if we hung: give back what runs


class FigureSource(Protocol):
    """What a process shows of itself."""

    def figures(self) -> ProcessFigures: ...

    def changes(self) -> Iterable[tuple[tuple[str, ...], Any]]:
        """Metrics that have changed since this was last asked, by name and labels."""
        ...


class SupervisedProcess(Protocol):
    """What a supervisor may ask of each process."""

    async def queue_state(self) -> QueueState: ...

    def leave(self, word: Leave) -> None:
        """Called at each word to leave."""
        ...


class SupervisorLink:
    """From this process, one of several, to the supervisor of all of them."""

    def __init__(self, end: socket.socket, shared: Mapping[str, int]) -> None:
        """`shared` are the task types of which all processes together run no more than so many at a time."""
        self._end = end
        self._shared = shared
        self._numbers = itertools.count(1)
        self._granted: dict[int, asyncio.Future[None]] = {}
        self._may_begin = asyncio.Event()
        self._answering: set[asyncio.Task[None]] = set()

    def join(self, process: SupervisedProcess, shown: FigureSource) -> None:
        """From now on this process answers and obeys. Called in its event loop."""
        self._process = process
        self._shown = shown
        self._channel = MessageSocket(self._end, self._hear, self._supervisor_is_gone)

    async def begin(self, leave: asyncio.Event) -> None:
        """Ready to take tasks: wait until all may, or this process is to leave."""
        self._channel.send({"ready": True})
        waits = [asyncio.create_task(event.wait()) for event in (self._may_begin, leave)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def tell_last(self, left: int | None) -> None:
        """Figures that nobody asks for any more, and how many messages wait in the queue."""
        self._tell_figures()
        self._channel.send({"left": left})

    def _tell_figures(self) -> None:
        for metrics in _portions(self._shown.changes()):
            self._channel.send({"metrics": metrics})
        self._channel.send({"figures": asdict(self._shown.figures())})

    def shared_slots(self) -> dict[str, SharedSlots]:
        """By handler: of those that run less tasks at a time than there are processes."""
        return {name: SharedSlots(self, name) for name in self._shared}

    def ask_for_slot(self, name: str) -> tuple[int, asyncio.Future[None]]:
        """The number of the request, and when it is granted; in any case `release` it."""
        number = next(self._numbers)
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._granted[number] = granted
        self._channel.send({"take": name, "number": number})
        return number, granted

    def release(self, number: int) -> None:
        self._granted.pop(number, None)
        self._channel.send({"free": number})

    def _hear(self, message: Packet) -> None:
        match message:
            case {"report": True}:
                self._tell_figures()
            case {"look": int(number)}:
                answering = asyncio.create_task(self._answer(number))
                self._answering.add(answering)
                answering.add_done_callback(self._answering.discard)
            case {"grant": int(number)}:
                granted = self._granted.get(number)
                if granted is not None and not granted.done():
                    granted.set_result(None)
            case {"begin": True}:
                self._may_begin.set()
            case {"leave": word}:
                self._process.leave(Leave(**word))

    async def _answer(self, number: int) -> None:
        self._channel.send({"look": number, "found": asdict(await self._process.queue_state())})

    def _supervisor_is_gone(self) -> None:
        self._process.leave(Leave("the supervisor is gone", demanded=True, unsupervised=True))


def _portions(metrics: Iterable[tuple[tuple[str, ...], Any]]) -> Iterable[list[Any]]:
    """As much as fits into a message, each."""
    portion: list[Any] = []
    size = 0
    for each in metrics:
        length = len(json.dumps(each))
        if portion and size + length > LARGEST // 2:
            yield portion
            portion, size = [], 0
        portion.append(each)
        size += length
    if portion:
        yield portion


class SharedSlots:
    """Slots of a handler that runs less tasks at a time than there are processes. The supervisor gives them out, first
    come, first served, and has those of a dead process back when what that ran is dead, too."""

    def __init__(self, link: SupervisorLink, name: str) -> None:
        self._link = link
        self._name = name
        self._held: list[int] = []

    async def acquire(self) -> bool:
        """Wait for one; True."""
        number, granted = self._link.ask_for_slot(self._name)
        try:
            await granted
        except BaseException:
            self._link.release(number)
            raise
        self._held.append(number)
        return True

    def release(self) -> None:
        """Give one back."""
        self._link.release(self._held.pop())
