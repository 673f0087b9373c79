"""What the handlers ask of a sidecar: many types, a database far away, output without end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.bench import Bench, Contestant, Figures, Scenario
from benchmarks.settings import DATABASE_AWAY_S, DISTANT_HANDLER_S, oneshot, persistent
from benchmarks.sidecar import Checkout, place, sidecar
from tests.support.proxy import proxied

# -- task types -------------------------------------------------------------------------------------------------------


def types(bench: Bench) -> list[Contestant]:
    tasks, count = bench.size(3000, 30), bench.amount(1000, 20)
    names = [f"type_{number}" for number in range(count)]

    def many(checkout: Checkout) -> Figures:
        with place(bench.servers) as where:
            where.fill(tasks, task_types=names)
            with sidecar(checkout, where, dict.fromkeys(names, oneshot()), 16, bench.processes) as running:
                return running.figures(tasks)

    return [*bench.plain("1 type", {"default": oneshot()}, 16, tasks), *bench.sidecars(f"{count:,} types", many)]


TYPES = Scenario("types", "Oneshot `cat`, concurrency 16, by task types", types)


# -- a database far away ----------------------------------------------------------------------------------------------


def distant(bench: Bench) -> list[Contestant]:
    tasks = bench.size(2000, 40)
    handlers = {"default": persistent("noop.py", str(DISTANT_HANDLER_S), processes=8)}

    def run(checkout: Checkout) -> Figures:
        with place(bench.servers) as where, _far(bench.servers.schema_url(where.schema)) as url:
            where.fill(tasks)
            with sidecar(checkout, where, handlers, 8, bench.processes, url) as running:
                return running.figures(tasks)

    return [
        *bench.plain("beside us", handlers, 8, tasks),
        *bench.sidecars(f"{1000 * DATABASE_AWAY_S:.0f} ms away", run),
    ]


@contextmanager
def _far(url: str) -> Iterator[str]:
    """A way to the same server on which an answer takes that long."""
    ready, over = threading.Event(), asyncio.Event()
    ways: list[Any] = []

    async def serve() -> None:
        async with proxied(url) as (proxy, way):
            proxy.delay = DATABASE_AWAY_S / 2
            ways.extend((asyncio.get_running_loop(), way))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield ways[1]
    finally:
        ways[0].call_soon_threadsafe(over.set)
        thread.join()


DISTANT = Scenario("distant", "Persistent handler of 20 ms, concurrency 8: at most 400/s", distant)


# -- output without end -----------------------------------------------------------------------------------------------


def flood(bench: Bench) -> list[Contestant]:
    tasks = bench.size(3000, 30)
    handlers = {"default": oneshot(), "flood": oneshot("yes", "a line for the log"), "mebibyte": _mebibyte()}

    def beside(checkout: Checkout) -> Figures:
        """One task floods all the time, the others have eight slots."""
        with place(bench.servers) as where:
            where.fill(1, task_type="flood")
            where.fill(tasks)
            with sidecar(checkout, where, handlers, 9, bench.processes) as running:
                return running.figures(tasks)

    def mebibytes(checkout: Checkout) -> Figures:
        with place(bench.servers) as where:
            where.fill(tasks // 10, task_type="mebibyte")
            with sidecar(checkout, where, handlers, 8, bench.processes) as running:
                figures = running.figures(tasks // 10)
                return figures | {"output_rate": figures["rate"]}

    return [
        *bench.plain("nobody floods", handlers, 8, tasks),
        *bench.sidecars("beside one that floods stdout", beside),
        *bench.sidecars("1 MiB of stdout each", mebibytes),
    ]


def _mebibyte() -> dict[str, Any]:
    return oneshot("sh", "-c", "yes 'a line for the log' | head -c 1048576")


FLOOD = Scenario("flood", "Oneshot `cat`, concurrency 8, and a flood of output", flood)
