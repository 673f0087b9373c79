"""Short plays that bring a sidecar to a point of its work, and what is to come of the tasks in them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx

from tests.faults.history import History, Sent
from tests.faults.stage import RETRY_DELAY, Stage
from tests.support.place import TASKS, Place
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

OVERDUE = "2001-01-01 00:00:00.000"


Scene = Callable[[Stage], Awaitable[tuple[Sidecar, History]]]
OK = Sent(task_id="ok", end="success", told=True)
FLAKY = Sent(task_id="flaky", end="success", told=True, retries=2, retry_delay=RETRY_DELAY)
BAD = Sent(task_id="bad", end="failed", told=True)


async def every_end(stage: Stage) -> tuple[Sidecar, History]:
    """A success, a retry, a failure, a message that is no task, each with its callback."""
    sidecar = stage.start(stage.config(), failpoints=stage.armed)
    await stage.place.publish(stage.task(OK), stage.task(FLAKY, "flaky"), stage.task(BAD, "bad"))
    refused = {"task_id": "refused", "timeout": "soon", "callback_url": stage.web.url}
    await stage.place.publish_bodies(json.dumps(refused).encode())
    history = History.of(stage.place, OK, FLAKY, BAD, Sent(task_id="refused", end="failed"))
    return sidecar, history


async def one_retry(stage: Stage) -> tuple[Sidecar, History]:
    """A failure whose delayed message is the only thing that brings it back in time."""
    sidecar = stage.start(stage.config(), failpoints=stage.armed)
    await stage.place.publish(stage.task(FLAKY, "flaky"))
    return sidecar, History.of(stage.place, FLAKY)


async def told_to_leave(stage: Stage) -> tuple[Sidecar, History]:
    """SIGTERM while a task runs, without time for it to end."""
    sidecar = stage.start(stage.config(worker={"shutdown_grace": 0}), failpoints=stage.armed)
    await stage.place.publish(stage.task(OK, "until"))
    await eventually(lambda: stage.place.journal.started)
    sidecar.terminate()
    return sidecar, History.of(stage.place, OK)


async def handed_off(stage: Stage) -> tuple[Sidecar, History]:
    """A task that runs for longer than the broker waits for its ack."""
    sidecar = stage.start(stage.config(broker={"consumer_timeout": 2}), failpoints=stage.armed)
    await stage.place.publish(stage.task(OK, "until"))
    return sidecar, History.of(stage.place, OK)


async def lost_delayed_message(stage: Stage) -> tuple[Sidecar, History]:
    """A task waits, and what was to bring it back is gone."""
    await stage.place.publish(stage.task(OK, defer_by=30))
    first = stage.start(stage.config())
    await eventually(lambda: stage.place.status("ok") == "pending" and _waits_in_a_delay_queue(stage.place))
    first.terminate()
    assert await first.ended() == 0
    _lose_delayed_message(stage.place)
    look_now(stage.place)
    return stage.start(stage.config(), failpoints=stage.armed), History.of(stage.place, OK)


async def cancelled(stage: Stage) -> tuple[Sidecar, History]:
    """A task that waits for its retry when whatever waits so is cancelled by the HTTP API."""
    http, retry = {"listen": "127.0.0.1:0"}, {"delay": 10}
    sidecar = stage.start(stage.config(http=http, retry=retry), failpoints=stage.armed)
    await stage.place.publish(stage.task(FLAKY, "flaky"))
    await eventually(lambda: stage.place.status("flaky") == "retrying")
    await _asked(sidecar, "/v1/tasks/cancel", {"filter": {"status": "retrying"}, "expected_count": 1})
    return sidecar, History.of(stage.place, replace(FLAKY, end="cancelled"))


async def submitted(stage: Stage) -> tuple[Sidecar, History]:
    """A task that comes by the HTTP API, to a sidecar that writes its row before it publishes it."""
    sidecar = stage.start(stage.config(http={"listen": "127.0.0.1:0"}), failpoints=stage.armed)
    await _asked(sidecar, "/v1/tasks", stage.task(OK))
    return sidecar, History.of(stage.place, OK)


async def _asked(sidecar: Sidecar, path: str, body: object) -> None:
    """A request to its HTTP API, which dies before it answers."""
    await sidecar.ready()
    url = next(word.removeprefix("url=") for word in sidecar.text.split() if word.startswith("url=http"))
    with suppress(httpx.HTTPError):
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            await client.post(path, json=body)


def look_now(place: Place) -> None:
    """As if the time until maintenance looks for a task that waits were over, and that until its run as well."""
    place.execute(f"update {TASKS} set next_run_at = ?, next_check_at = ?", OVERDUE, OVERDUE)


def drive_now(place: Place) -> None:
    """As if the lease of whoever went on with an operation were over."""
    place.execute(f"update {TASKS}_operations set driven_until = ?", OVERDUE)


def send_callbacks_now(place: Place) -> None:
    """As if the lease of whoever was to send them were over."""
    place.execute(f"update {TASKS}_callbacks set next_try_at = ? where next_try_at is not null", OVERDUE)


def _waits_in_a_delay_queue(place: Place) -> bool:
    return place.left() == 1 and (place.embedded or place.waiting() == 0)


def _lose_delayed_message(place: Place) -> None:
    if place.embedded:
        place.execute("delete from gridsidecar_messages")
        return
    with place.channel() as channel:
        for seconds in (1, 2, 5, 10, 30):
            channel.queue_delete(f"{place.queue}.delay.{seconds}")


async def row_without_attempt(stage: Stage) -> tuple[Sidecar, History]:
    """A claim that nobody stands behind: an error came between it and its attempt."""
    sidecar = stage.start(stage.config(), failpoints=f"claimed:raise,{stage.armed}")
    await stage.place.publish(stage.task(OK))
    return sidecar, History.of(stage.place, OK)


async def no_slot(stage: Stage) -> tuple[Sidecar, History]:
    """A message that waits for a slot for longer than the broker waits for its ack."""
    config = stage.config(broker={"consumer_timeout": 2})
    config["handlers"]["until"]["concurrency"] = 1
    sidecar = stage.start(config, failpoints=stage.armed)
    await stage.place.publish(stage.task(OK, "until"))
    await eventually(lambda: stage.place.journal.started)
    waits = Sent(task_id="waits", end="success", told=True)
    await stage.place.publish(stage.task(waits, "until"))
    return sidecar, History.of(stage.place, OK, waits)


async def no_delays(stage: Stage) -> tuple[Sidecar, History]:
    """A retry where the broker lets nobody make a delay queue: somebody else's queue stands there."""
    with stage.place.channel() as channel:
        for seconds in (1, 2, 5):
            channel.queue_declare(f"{stage.place.queue}.delay.{seconds}", durable=True, arguments={"x-max-length": 7})
    sidecar = stage.start(stage.config(), failpoints=stage.armed)
    await stage.place.publish(stage.task(FLAKY, "flaky"))
    return sidecar, History.of(stage.place, FLAKY)


async def second_copy(stage: Stage) -> tuple[Sidecar, History]:
    """The connection dies while a task runs, and its message comes again to the same sidecar."""
    sidecar = stage.start(stage.config(), failpoints=stage.armed)
    await stage.place.publish(stage.task(OK, "until"))
    await eventually(lambda: stage.place.journal.started)
    assert stage.proxy is not None
    stage.proxy.cut()
    return sidecar, History.of(stage.place, OK)


async def paused(stage: Stage) -> tuple[Sidecar, History]:
    """A task whose type is paused when it comes, for some seconds."""
    sidecar = stage.start(stage.config(), failpoints=stage.armed)
    await sidecar.ready()
    async with stage.place.opened() as store:
        await store.pauses.pause("default", datetime.now(UTC) + timedelta(seconds=5))
    await eventually(lambda: sidecar.text.count("task type paused") >= stage.processes)
    await stage.place.publish(stage.task(OK))
    return sidecar, History.of(stage.place, OK)


async def tripped(stage: Stage) -> tuple[Sidecar, History]:
    """A task whose type a breaker holds back: after the cool-down it is the one that is tried."""
    sidecar = stage.start(stage.config(), failpoints=stage.armed)
    await sidecar.ready()
    async with stage.place.opened() as store:
        await store.pauses.trip("default", 4, "all failed")
    await eventually(lambda: sidecar.text.count("task type paused") >= stage.processes)
    await stage.place.publish(stage.task(OK))
    return sidecar, History.of(stage.place, OK)
