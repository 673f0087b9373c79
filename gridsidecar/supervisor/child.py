"""One of the sidecar's processes: its program, with the supervisor's end of their link."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import asdict

from gridsidecar.runtime.health import Health
from gridsidecar.supervisor.program import Program
from gridsidecar.supervisor.slot_allocator import SharedSlotRequest, SlotAllocator
from gridsidecar.supervisor_link import Leave, ProcessFigures, QueueState
from gridsidecar.supervisor_link.message_socket import MessageSocket, Packet


class Child:
    """Questions to it are answered with None once it is gone."""

    def __init__(self, plan_fd: int, number: int, life: int, slots: SlotAllocator, ready: Callable[[], None]) -> None:
        """`number` is its place among its siblings, `life` counts the processes of this run. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            arguments = (plan_fd, theirs.fileno(), number, life)
            try:
                self.program = Program("gridsidecar.supervisor.sidecar", *arguments, fds=(plan_fd, theirs.fileno()))
            except OSError:
                ours.close()
                raise
        self.number = number
        self.life = life
        self.ready = False
        self.figures: ProcessFigures | None = None  # None while it is asked
        self.counts: Mapping[str, int] = {}
        self.series: dict[tuple[str, ...], Any] = {}  # its metrics
        self.health = Health(not_ready={"worker": "it is starting"})
        self.left: int | None = None  # messages that waited in the queue when it left
        self._slots = slots
        self._tell_ready = ready
        self._asked: asyncio.Future[None] | None = None
        self._unanswered: dict[int, asyncio.Future[QueueState | None]] = {}
        self._asks = 0
        self._channel = MessageSocket(ours, self._hear, self._gone)

    def begin(self) -> None:
        """It may take tasks."""
        self._channel.send({"begin": True})

    def leave(self, word: Leave) -> None:
        self._channel.send({"leave": asdict(word)})

    def report(self) -> asyncio.Future[None]:
        """Done when its figures are here."""
        self._asked = asyncio.get_running_loop().create_future()
        self.figures = None
        self._channel.send({"report": True})
        return self._asked

    def queue_state(self) -> asyncio.Future[QueueState | None]:
        """What it finds in the queue from now on."""
        self._asks += 1
        asked = self._unanswered[self._asks] = asyncio.get_running_loop().create_future()
        self._channel.send({"look": self._asks})
        return asked

    def close(self) -> None:
        """It is dead; what it said last was heard."""
        self._channel.finish()
        self._gone()

    def _hear(self, message: Packet) -> None:
        match message:
            case {"figures": figures}:
                self.figures = ProcessFigures(**figures)
                self.counts = self.figures.counts
                self.health = Health(self.figures.broken, self.figures.not_ready)
                if self._asked is not None and not self._asked.done():
                    self._asked.set_result(None)
            case {"metrics": list(metrics)}:
                self.series.update((tuple(key), value) for key, value in metrics)
            case {"look": int(number), "found": state}:
                self._answer(number, QueueState(**state))
            case {"left": left}:
                self.left = left
            case {"take": str(name), "number": int(number)}:
                grant = SharedSlotRequest(self.life, number, lambda: self._channel.send({"grant": number}))
                self._slots.take(name, grant)
            case {"free": int(number)}:
                self._slots.release(self.life, number)
            case {"ready": True}:
                self.ready = True
                self._tell_ready()

    def _answer(self, number: int, state: QueueState | None) -> None:
        asked = self._unanswered.pop(number, None)
        if asked is not None and not asked.done():
            asked.set_result(state)

    def _gone(self) -> None:
        self.figures = None
        for number in list(self._unanswered):
            self._answer(number, None)
