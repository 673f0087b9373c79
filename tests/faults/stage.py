"""Where a scene plays: a place with a receiver for callbacks and a proxy in front of the broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.e2e.conftest import Start
from tests.faults.history import History, Sent, assert_kept
from tests.support.place import Place
from tests.support.proxy import Proxy, proxied
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually
from tests.support.web import Web, web_server

RETRY_DELAY = 1.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a scene plays. `armed` are the failpoints of the sidecar that is to die in it."""

    place: Place
    start: Start
    web: Web
    armed: str
    proxy: Proxy | None = None  # in front of the broker, where there is a server
    broker_url: str = ""
    processes: int = 1  # of each sidecar

    def config(self, **sections: Any) -> dict[str, Any]:
        """Short leases; handlers by what they do; callbacks may go to this machine."""
        jobs = {
            "default": self.place.job("done"),
            "flaky": self.place.job("flaky", 2),
            "bad": self.place.job("exit", 3),
            "until": self.place.job("until", self.gate),
        }
        ours: dict[str, dict[str, Any]] = {
            "broker": {"url": self.broker_url or self.place.broker_url, "heartbeat": 2},
            "worker": {"lease": 1, "concurrency": 2, "max_crashes": 3, "processes": self.processes},
            "retry": {"delay": RETRY_DELAY},
            "callbacks": {"allow": ["127.0.0.1"], "timeout": 2},
        }
        for name, keys in sections.items():
            ours[name] = {**ours.get(name, {}), **keys}
        return self.place.config(jobs, **ours)

    @property
    def gate(self) -> Any:
        """The file that lets tasks of type `until` come to their end."""
        return self.place.folder / "gate"

    def task(self, sent: Sent, task_type: str = "default", **more: Any) -> dict[str, Any]:
        """The message of a task."""
        callback = {"callback_url": self.web.url} if sent.told else {}
        return {"task_id": sent.task_id, "task_type": task_type, "max_retry_count": sent.retries, **callback, **more}


@asynccontextmanager
async def staged(place: Place, start: Start, armed: str, processes: int = 1) -> AsyncIterator[Stage]:
    """A place with a receiver for callbacks and, where the broker is a server, a proxy in front of it."""
    async with web_server() as web:
        if place.embedded:
            yield Stage(place, start, web, armed, processes=processes)
            return
        async with proxied(place.broker_url) as (proxy, url):
            yield Stage(place, start, web, armed, proxy, url, processes)


async def all_is_quiet(history: History) -> bool:
    """Whether everything that was sent has ended and nothing is owed."""
    place = history.place
    return (
        place.all_ended(len(history.sent))
        and place.left() == 0
        and all(row["next_try_at"] is None for row in place.callbacks())
    )


async def finish(stage: Stage, history: History) -> None:
    """A fresh sidecar does what is left, and leaves."""
    second = stage.start(stage.config())
    await second.ready()
    await finish_with(second, stage, history)


async def finish_with(
    sidecar: Sidecar, stage: Stage, history: History, code: Callable[[Sidecar], int] = lambda _: 0
) -> None:
    """This one does what is left, and leaves; with which `code`, by what it said."""
    stage.gate.touch()
    await eventually(lambda: all_is_quiet(history), timeout=60, interval=0.1)
    sidecar.terminate()
    assert await sidecar.ended() == code(sidecar)
    assert_kept(history)
