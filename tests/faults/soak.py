"""Three sidecars under load and random faults for some minutes, then the checker's table.

    bash tests/run soak --minutes 10 --seed 1

Servers, proxies, sidecars, producer and receiver are all its own. The seed decides which tasks are sent and which fault
comes when; the machine decides the rest, so a seed repeats a plan, not a run. Exit code 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.conftest import execute_on_server
from tests.faults.crew import Crew
from tests.faults.history import History, Verdict, check
from tests.faults.nemesis import Nemesis
from tests.faults.producer import Producer
from tests.faults.steerer import Steerer
from tests.support.place import ENDED, Place
from tests.support.servers import MySQL
from tests.support.services import private_mysql, private_rabbitmq
from tests.support.waiting import eventually
from tests.support.web import web_server

DRAIN_TIMEOUT = 300.0  # seconds for everything to end once the faults are over
DATABASE = "soak"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests/run soak", description="Random faults under load, with a verdict.")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long faults go on (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="decides tasks and faults (default 1)")
    parser.add_argument("--sidecars", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--processes", type=int, default=1, help="of each sidecar (default 1)")
    parser.add_argument("--steer", type=float, default=3.0, help="cancels, retries and pauses a second (default 3)")
    parser.add_argument("--rate", type=float, default=10.0, help="tasks a second (default 10)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="gs-soak-") as folder:
        return asyncio.run(Soak(options, Path(folder)).run())


class Soak:
    """One run."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._rng = random.Random(options.seed)
        self._started = time.monotonic()

    async def run(self) -> int:
        async with AsyncExitStack() as stack:
            broker = stack.enter_context(private_rabbitmq())
            database = stack.enter_context(private_mysql())
            web = await stack.enter_async_context(web_server())
            place = Place(broker.url, _new_database(database), "soak", self._folder)
            history = History(place, [])
            history.listen(web)
            crew = Crew(place, history, web.url, self._rng, self._options.processes)
            await stack.enter_async_context(crew)
            for _ in range(self._options.sidecars):
                await crew.add()
            producer = Producer(place, history, web.url, self._rng, self._options.rate)
            steerer = Steerer(place, history, self._rng, self._options.steer)
            try:
                nemesis = Nemesis(crew, broker, database, web, history, self._rng)
                await self._under_faults(producer, steerer, nemesis, history)
                quiet = await self._drained(history, steerer)
                clean = await crew.leave()
            finally:
                await producer.stop()
                await steerer.stop()
            verdict = check(history)
            self._report(history, verdict, quiet=quiet, clean=clean)
            return 0 if not verdict.broken and quiet and clean else 1

    async def _under_faults(self, producer: Producer, steerer: Steerer, nemesis: Nemesis, history: History) -> None:
        producer.start()
        steerer.start()
        until = time.monotonic() + 60 * self._options.minutes
        while time.monotonic() < until:
            fault = await nemesis.strike()
            self._say(
                f"{fault:<28} sent {len(history.sent):>6}  confirmed {len(history.confirmed):>6}  {_ends(history)}"
            )
        await producer.stop()
        await nemesis.heal()
        await steerer.stop()

    async def _drained(self, history: History, steerer: Steerer) -> bool:
        """Whether all that was sent came to its end in time."""
        self._say("no more faults; waiting for the end of everything")
        with suppress(AssertionError):
            await eventually(lambda: _is_quiet(history) and steerer.ended(), timeout=DRAIN_TIMEOUT, interval=1.0)
            return True
        return False

    def _say(self, words: str) -> None:
        print(f"{time.monotonic() - self._started:7.1f} s  {words}", file=sys.stderr, flush=True)

    def _report(self, history: History, verdict: Verdict, *, quiet: bool, clean: bool) -> None:
        options = self._options
        crew = f"{options.sidecars} sidecars of {options.processes} processes"
        print(f"\nsoak --minutes {options.minutes:g} --seed {options.seed}: {crew}\n")
        print("| fault | times |\n|---|---:|")
        for fault, times in sorted(history.faults.items()):
            print(f"| {fault} | {times} |")
        print(f"\n{verdict.table()}\n")
        for promise in verdict.broken[:50]:
            print(f"BROKEN {promise}")
        if not quiet:
            print(f"BROKEN I6 not quiet {DRAIN_TIMEOUT:g} s after the last fault")
        if not clean:
            print("BROKEN I8 a sidecar did not leave with exit code 0")


def _new_database(server: MySQL) -> str:
    """A database and a user for it who cannot write while the server is read-only."""
    for statement in (
        f"create database {DATABASE}",
        "create user 'soak'@'%' identified by 'soak'",
        f"grant all on {DATABASE}.* to 'soak'@'%'",
    ):
        execute_on_server(server.url, statement)
    return f"mysql://soak:soak@{urlsplit(server.url).netloc.rpartition('@')[2]}/{DATABASE}"


def _is_quiet(history: History) -> bool:
    place, rows = history.place, history.place.rows()
    ended = history.confirmed <= rows.keys() and all(row["status"] in ENDED for row in rows.values())
    return ended and not any(row["next_try_at"] for row in place.callbacks()) and not place.left()


def _ends(history: History) -> str:
    try:
        statuses = history.place.statuses()
    except Exception:  # the database may be away: that is what this is about
        return "(the database is away)"
    return "  ".join(f"{status} {count}" for status, count in sorted(statuses.items()))


if __name__ == "__main__":
    sys.exit(main())
