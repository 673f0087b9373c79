"""Runs the suites that need servers against newer ones: `python -m tests.support.matrix [SUITE|classic|quorum...]`.

`cluster` is apart: clusters of this machine's own RabbitMQ and MariaDB, see `tests/faults/cluster.py`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.support import newer
from tests.support.services import AMQP_VARIABLE, MYSQL_VARIABLE, QUEUE_TYPE_VARIABLE
from tests.support.versions import mysql_version, rabbitmq_version

BROKER = ("contract", "contract_queues", "delays", "amqp", "amqp_dead_letters", "amqp_network")
E2E = (
    *("line", "retries", "scheduling", "ownership", "refused_delays", "worker_death", "pauses", "callbacks"),
    *("leaving", "outages", "deployed_rabbitmq"),
)
SUITES = {
    "broker": [f"tests/broker/test_{name}.py" for name in BROKER],
    "e2e": [f"tests/e2e/test_{name}.py" for name in E2E],
    "integration": ["tests/integration"],
    "faults": ["tests/faults"],
    "store": ["tests/store"],
}
QUEUE_TYPES = ("classic", "quorum")
HASTY = ("--skip-log-bin", "--innodb-flush-log-at-trx-commit=2")  # thousands of tables are made; machines do not die
NO_TESTS = 5  # pytest's exit code
WITHOUT_A_QUEUE = ("store", "integration")  # once is enough


@dataclass(frozen=True, slots=True)
class Line:
    """What came of one suite."""

    suite: str
    servers: str
    passed: int
    failed: int
    skipped: int
    seconds: float


def run(suite: str, servers: str, environment: dict[str, str], folder: Path) -> Line:
    """One suite, side by side and then what must be alone; its output goes where ours goes."""
    print(f"\n== {suite} on {servers}", flush=True)
    started = time.monotonic()
    side_by_side = ("--numprocesses", str(2 * (os.cpu_count() or 1)), "-m", "not alone")
    counts = [_counts(suite, options, environment, folder) for options in (side_by_side, ("-m", "alone"))]
    passed, failed, skipped = (sum(column) for column in zip(*counts, strict=True))
    return Line(suite, servers, passed, failed, skipped, time.monotonic() - started)


def _counts(suite: str, options: Sequence[str], environment: dict[str, str], folder: Path) -> tuple[int, int, int]:
    """Tests passed, failed and skipped by one pytest. One that breaks off counts as a failure."""
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", *SUITES[suite]]
    code = subprocess.run(command, env=os.environ | environment).returncode
    if code == NO_TESTS:
        return 0, 0, 0
    if not report.exists():
        return 0, 1, 0
    found = ElementTree.parse(report).getroot().find("testsuite")
    assert found is not None
    tests, errors, failures, skipped = (int(found.get(k, 0)) for k in ("tests", "errors", "failures", "skipped"))
    failed = errors + failures
    return tests - failed - skipped, failed or int(code != 0), skipped


def lines(suites: Sequence[str], queue_types: Sequence[str]) -> Iterator[Line]:
    """Each suite in turn, with each type of work queue where that matters."""
    with (
        newer.NewerRabbitMQ() as rabbitmq,
        newer.NewerMySQL(HASTY) as mysql,
        tempfile.TemporaryDirectory(prefix="gs-matrix-") as folder,
    ):
        broker, database = rabbitmq_version(rabbitmq.url), mysql_version(mysql.url)
        environment = {AMQP_VARIABLE: rabbitmq.url, MYSQL_VARIABLE: mysql.url, newer.VARIABLE: "yes"}
        for queue_type in queue_types:
            for suite in suites:
                if suite in WITHOUT_A_QUEUE and queue_type != queue_types[0]:
                    continue
                servers = f"{broker} {queue_type}, {database}"
                yield run(suite, servers, environment | {QUEUE_TYPE_VARIABLE: queue_type}, Path(folder))


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["cluster"]:
        from tests.faults import cluster  # never part of a run of all: it needs more of Debian, and half an hour

        return cluster.main(arguments[1:])
    if unknown := [name for name in arguments if name not in (*SUITES, *QUEUE_TYPES)]:
        print(f"unknown: {' '.join(unknown)}; there are {' '.join((*SUITES, *QUEUE_TYPES))}", file=sys.stderr)
        return 2
    suites = [name for name in SUITES if name in arguments] or list(SUITES)
    queue_types = [name for name in QUEUE_TYPES if name in arguments] or list(QUEUE_TYPES)
    results = list(lines(suites, queue_types))
    width = max(len(line.servers) for line in results)
    print(f"\n{'servers':{width}}  {'suite':11}  passed  failed  skipped  seconds")
    for line in results:
        print(
            f"{line.servers:{width}}  {line.suite:11}  {line.passed:6}  {line.failed:6}  {line.skipped:7}"
            f"  {line.seconds:7.0f}"
        )
    return int(any(line.failed for line in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
