"""`python -m tests.bundle.distributions [SUITE…]`: the bundle in whole Debian systems that have Node and no Python.

Each is made by debootstrap and gets tasks from a RabbitMQ, with their state in a MySQL, as in the tests of the bundle:
it fails where one of those would. Needs root; RabbitMQ and MySQL as all tests do.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bundle.copying import copy_file
from bundle.measuring import megabytes
from tests.bundle.test_bundle import about, test_a_task_is_done_and_its_handler_sees_nothing_of_the_bundle
from tests.conftest import execute_on_server
from tests.support import debian, services
from tests.support.place import HANDLERS, Place
from tests.support.roots import BUSYBOX, Running, build_bundle

SUITES = ("bullseye", "bookworm", "sid")


class Watched(Running):
    """Knows how long it took to consume, in seconds, and its memory, in megabytes, when its tasks were done."""

    def __init__(self, *words: Any, **options: Any) -> None:
        self._began = time.monotonic()
        super().__init__(*words, **options)

    async def said(self, words: str, timeout: float = 60) -> None:
        await super().said(words, timeout)
        self.seconds = time.monotonic() - self._began

    def terminate(self) -> None:
        lines = about(self.pid, "status").splitlines()
        self.resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1000
        super().terminate()


def node(root: Path) -> dict[str, Any]:
    """What an image's author adds: a program, and the line that names it."""
    (root / "tell.js").write_text((HANDLERS / "tell.js").read_text())
    return {"command": ["/usr/bin/node", "/tell.js"]}


def system(suite: str, root: Path) -> None:
    """Busybox is for what surrounds the sidecar in these tests."""
    debian.bootstrap(suite, "nodejs", root)
    copy_file(BUSYBOX, root / "bin/busybox")
    (root / "dev/fd").unlink(missing_ok=True)
    (root / "dev/fd").symlink_to("/proc/self/fd")
    pythons = list((root / "usr/bin").glob("python*"))
    assert pythons == [], f"{suite} has a Python: {pythons}"


def try_in(suite: str, bundle: Path, folder: Path, amqp: str, mysql: str) -> str:
    """A line of the table."""
    root, queue = folder / "root", f"gs_{secrets.token_hex(4)}"
    folder.mkdir()
    system(suite, root)
    execute_on_server(mysql, f"create database {queue} character set utf8mb4")
    broker, store = (url.replace("@localhost", "@127.0.0.1") for url in (amqp, f"{mysql.rstrip('/')}/{queue}"))
    place = Place(broker, store, queue, folder)
    started: list[Watched] = []

    def start(root: Path, *command: str, **options: Any) -> Running:
        started.append(Watched(root, bundle, *command, **options))
        return started[-1]

    try:
        asyncio.run(test_a_task_is_done_and_its_handler_sees_nothing_of_the_bundle(root, place, start, node))
    finally:
        for each in started:
            each.kill()
        execute_on_server(mysql, f"drop database {queue}")
        with place.channel() as channel, suppress(Exception):
            channel.queue_delete(queue)
    (sidecar,) = started
    return f"| {suite} | 2 tasks done, nothing of ours seen | {sidecar.seconds:.2f} s | {sidecar.resident:.0f} MB |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bundle.distributions", description=__doc__)
    parser.add_argument("suite", nargs="*", default=SUITES)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gs-systems-") as folder:
        bundle = Path(folder) / "bundle"
        built = build_bundle(bundle)
        if built.returncode != 0:
            sys.exit(built.stderr)
        print(f"the bundle takes {megabytes(bundle):.0f} MB\n")
        print("| Debian | the line | to consuming | resident |\n|---|---|---:|---:|")
        with services.rabbitmq_url() as amqp, services.mysql_url() as mysql:
            for suite in given.suite:
                print(try_in(suite, bundle, Path(folder) / suite, amqp, mysql), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
