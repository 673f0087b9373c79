"""Whoever may send tasks may name hosts that never answer. They cost themselves their time, and others next to none."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.place import TASKS, Place
from tests.support.waiting import eventually
from tests.support.web import Web, web_server

pytestmark = [pytest.mark.alone, pytest.mark.timeout(180)]

SILENT = 256  # hosts
LARGE = 3 * 1024 * 1024  # characters of a body
MUTE = 14  # hosts
FIRST_CONTACTS = 36  # at once, each for a second while others wait
NAME_SERVER = "127.53.53.53"


def config(place: Place, **callbacks: Any) -> dict[str, Any]:
    return place.config(
        {"default": place.job("done")},
        worker={"concurrency": 8},
        callbacks={"allow": ["127.0.0.0/8"], "queue": f"{place.queue}.callbacks", **callbacks},
    )


@asynccontextmanager
async def silent_port() -> AsyncIterator[int]:
    """A port on which every address of this machine takes connections and says nothing."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: writers.append(writer), "0.0.0.0", 0, backlog=1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


@dataclass
class Mute:
    """`open` are the connections to it, `most` as many as there were at a time."""

    port: int = 0
    open: int = 0
    most: int = 0


@asynccontextmanager
async def swallowing() -> AsyncIterator[Mute]:
    """A port on which every address of this machine reads what comes and says nothing."""
    mute = Mute()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mute.open += 1
        mute.most = max(mute.most, mute.open)
        with suppress(OSError):
            while await reader.read(1024 * 1024):
                pass
        mute.open -= 1
        writer.transport.abort()

    server = await asyncio.start_server(swallow, "0.0.0.0", 0)
    mute.port = server.sockets[0].getsockname()[1]
    try:
        yield mute
    finally:
        server.close()
        await eventually(lambda: mute.open == 0)  # each try has its time limit
        await server.wait_closed()


async def seconds_of(place: Place, **tasks: dict[str, Any]) -> list[float]:
    """How long the callback of each task takes from the end of the task, by the database's clock."""
    await place.publish(*({"task_id": task_id, **fields} for task_id, fields in tasks.items()))

    def told() -> list[float] | None:
        rows = {row["task_id"]: row for row in place.callbacks() if row["delivered_at"]}
        if not tasks.keys() <= rows.keys():
            return None
        return [(rows[name]["delivered_at"] - rows[name]["created_at"]).total_seconds() for name in tasks]

    # In a thread: the receivers live in this loop, and must not wait for us.
    seconds: list[float] = await eventually(lambda: asyncio.to_thread(told), timeout=100, interval=0.3)
    return seconds


def http(web: Web) -> dict[str, Any]:
    return {"callback_url": web.url}


def failures(place: Place) -> int:
    return sum(row["failures"] for row in place.callbacks())


async def test_hosts_that_never_answer(place: Place, start: Start) -> None:
    async with silent_port() as port, web_server() as known, web_server() as new, web_server() as later:
        start(config(place))
        await seconds_of(place, first=http(known))
        hosts = [f"http://127.0.{1 + number // 200}.{1 + number % 200}:{port}/" for number in range(SILENT)]
        for round_ in range(2):
            tasks = [{"task_id": f"{round_}-{url}", "callback_url": url} for url in hosts]
            await place.publish(*tasks)
        await eventually(lambda: len(place.callbacks()) >= SILENT, timeout=90)
        told = await seconds_of(place, known=http(known), new=http(new), queue={"callback_type": "rabbitmq"})
        print("known, new, queue:", told)
        at_once = max(4, told[1] / 2)
        assert told[0] < at_once, "one that answered lately waits for nobody"
        assert told[1] < 3 * SILENT / FIRST_CONTACTS + 6, "each of the others had more than its second"
        assert told[2] < at_once
        # By now all of the silent ones are known to be silent.
        await asyncio.sleep(5)
        (took,) = await seconds_of(place, later=http(later))
        print("later:", took)
        assert took < at_once
        assert failures(place) <= 6 + 12 + 54, "those that gave up their place to others have spent no try"


async def test_a_receiver_that_is_only_slow_gets_its_whole_time(place: Place, start: Start) -> None:
    """Its first try may be cut short by the crowd, and costs it nothing."""
    async with silent_port() as port, web_server() as slow:

        async def answer(request: Any, connection: Any) -> None:
            await asyncio.sleep(3)
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        slow.answer = answer
        start(config(place, timeout=12, max_retries=1))
        await seconds_of(place, first=http(slow))  # so it has answered lately
        urls = [f"http://127.0.1.{1 + number}:{port}/" for number in range(100)]
        await place.publish(*({"task_id": url, "callback_url": url} for url in urls))
        await eventually(lambda: len(place.callbacks()) >= 60, timeout=60)
        took = await seconds_of(place, **{f"slow{n}": http(slow) for n in range(4)})
        print("slow:", took)
        assert max(took) < 45
        assert all(row["failures"] == 0 for n in range(4) for row in place.callbacks(f"slow{n}"))


def large(task_id: str, url: str) -> dict[str, Any]:
    return {"task_id": task_id, "callback_url": url, "callback_data": "x" * LARGE}


async def test_large_bodies_that_nobody_takes_are_few_at_once(place: Place, start: Start) -> None:
    """However many wait. What is small does not wait for them, nor does what is large for a receiver that is quick."""
    async with swallowing() as mute, web_server() as known:
        sidecar = start(config(place, timeout=3))
        before = await seconds_of(place, first=http(known), second=large("second", known.url))
        await place.publish(*(large(f"mute{n}", f"http://127.0.0.{1 + n}:{mute.port}/") for n in range(MUTE)))
        ended = f"select count(*) as n from {TASKS}_callbacks"
        await eventually(lambda: place.fetch(ended)[0]["n"] == 2 + MUTE, timeout=60, interval=0.3)
        told = await seconds_of(place, small=http(known), large=large("large", known.url))
        print("before:", before, "small, large:", told, "at once:", mute.most)
        assert max(told) < 4 + 2 * max(before)
        assert 2 <= mute.most <= 6, "two of a kind: new, slow, silent"
        assert not sidecar.says("unexpected error")


@pytest.fixture
def deaf_name_server(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """What puts a command into a world whose name server never answers."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root may give a process a resolv.conf of its own")
    file = tmp_path / "resolv.conf"
    file.write_text(f"nameserver {NAME_SERVER}\noptions attempts:1\n")  # a look-up hangs for 5 s
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind((NAME_SERVER, 53))
        script = f'mount --bind {file} /etc/resolv.conf && exec "$@"'
        yield ("unshare", "--mount", "sh", "-c", script, "sh")


async def test_names_that_nobody_resolves(place: Place, start: Start, deaf_name_server: tuple[str, ...]) -> None:
    async with web_server() as known, web_server() as new:
        sidecar = start(config(place), prefix=deaf_name_server)
        await seconds_of(place, first=http(known))
        names = [f"http://hook.tenant{number}.example/" for number in range(120)]
        await place.publish(*({"task_id": name, "callback_url": name} for name in names))
        await eventually(lambda: len(place.callbacks()) >= 100, timeout=60)
        local = {"callback_url": new.url.replace("127.0.0.1", "localhost")}
        told = await seconds_of(place, known=http(known), new=http(new), local=local)
        print("known, new, a name of /etc/hosts:", told)
        assert told[0] < max(4, told[1] / 2)
        assert told[1] < 2 * 120 / FIRST_CONTACTS + 6
        assert all(row["failures"] == 0 for task in ("known", "new", "local") for row in place.callbacks(task)), (
            "a look-up that found no room has spent a try"
        )
        assert sidecar.says("was not looked up"), "there was room for all, and nothing was tried here"
