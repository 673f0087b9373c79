"""What every test may ask for: real servers, fresh queues, fresh databases."""

from __future__ import annotations

import gc
import os
import secrets
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import pika  # type: ignore[import-untyped]
import pytest

from tests.support import services
from tests.support.database import mysql_session
from tests.support.loops import TidyLoop

SKIPPED_IN_CI = 10  # exit code of pytest; its own end at 5

DELAYS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800, 43200, 86400)

# On a machine that others use too, how long an example takes says nothing.
hypothesis.settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy machine")

# A folder and modules whose tests share a server, an image, a program: made once when one process runs them all.
TOGETHER = (
    "tests/broker/test_amqp_refusals.py",
    "tests/bundle/",
    "tests/doctor/test_broker.py",
    "tests/e2e/test_deployed_rabbitmq.py",
    "tests/e2e/test_outages.py",
    "tests/examples/test_handlers.py",
    "tests/faults/test_broker_alarm.py",
    "tests/faults/test_broker_outage.py",
    "tests/faults/test_database_access.py",
    "tests/faults/test_database_outage.py",
    "tests/faults/test_database_refusals.py",
    "tests/faults/test_delivery_timeout.py",
    "tests/faults/test_refused_queues.py",
    "tests/faults/test_stream_queues.py",
    "tests/integration/test_image.py",
    "tests/model/test_delivery_model.py",
    "tests/page/test_views.py",
    "tests/page/test_strangers.py",
    "tests/sdks/test_go.py",
    "tests/sdks/test_producers.py",
    "tests/store/test_listing_large.py",
    "tests/store/test_plans.py",
    "tests/store/test_session.py",
    "tests/support/test_forked.py",
)


def _scope(nodeid: str) -> str:
    """What one process runs by itself: all of one of those, or a single test."""
    return next((together for together in TOGETHER if nodeid.startswith(together)), nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """All that is collected is kept: to look through it for garbage, again and again, was a fifth of the work."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side, tests that wait and tests that work should meet: shuffled, in the same way each time. Modules that
    one process runs mostly wait, for minutes, so they come one by one in the first half."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _turn(_scope(item.nodeid)))


def _turn(scope: str) -> int:
    return zlib.crc32(scope.encode()) >> (scope in TOGETHER)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling  # only when tests run in parallel

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _scope(nodeid)

    config.option.loadscopereorder = False  # or what runs together would all run at once, and the cores would idle
    return Scheduling(config, log)


def pytest_asyncio_loop_factories() -> dict[str, Any]:
    return {"tidy": TidyLoop}


@pytest.fixture(scope="session")
def amqp_url() -> Iterator[str]:
    """A RabbitMQ, with the virtual host at the end."""
    with services.rabbitmq_url() as url:
        yield url


@pytest.fixture(scope="session")
def mysql_server_url() -> Iterator[str]:
    """A MySQL-family server, without a database."""
    with services.mysql_url() as url:
        yield url


@pytest.fixture
def queue(amqp_url: str) -> Iterator[str]:
    """A queue name that nobody has used; what the test made of it is deleted afterwards."""
    with fresh_queue(amqp_url, f"gs_{secrets.token_hex(4)}") as name:
        yield name


@contextmanager
def fresh_queue(amqp_url: str, name: str) -> Iterator[str]:
    """Its name; it and those that belong to it are deleted afterwards."""
    try:
        yield name
    finally:
        with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
            channel = connection.channel()
            for used in (
                name,
                f"{name}.dead",
                f"{name}.callbacks",
                f"{name}.answers",
                *(f"{name}.delay.{seconds}" for seconds in DELAYS_S),
            ):
                channel.queue_delete(used)


@pytest.fixture
def mysql_url(mysql_server_url: str) -> Iterator[str]:
    """A fresh empty database."""
    with fresh_database(mysql_server_url) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/gridsidecar.db"


@pytest.fixture(params=["sqlite", "mysql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A fresh empty database of each kind in turn."""
    url = request.getfixturevalue(f"{request.param}_url")
    assert isinstance(url, str)
    return url


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """An empty one, dropped afterwards."""
    database = f"gs_{secrets.token_hex(4)}"
    execute_on_server(server_url, f"create database {database} character set utf8mb4")
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{database}"))
    finally:
        execute_on_server(server_url, f"drop database {database}")


def execute_on_server(server_url: str, statement: str) -> None:
    with closing(mysql_session(server_url)) as connection, connection.cursor() as cursor:
        cursor.execute("set session lock_wait_timeout = 10")  # a test that left a transaction open fails, not hangs
        cursor.execute(statement)


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("true", "1")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI everything a test needs must be there: a skip hides a missing tool."""
    ran = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if in_ci() and ran and _skipped(session.config):
        session.exitstatus = SKIPPED_IN_CI


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if in_ci() and (skipped := _skipped(config)):
        terminalreporter.section("skipped in CI, which is a failure", red=True)
        for report in skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            terminalreporter.line(f"{report.nodeid}: {reason}")


def _skipped(config: pytest.Config) -> list[pytest.TestReport | pytest.CollectReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return [] if reporter is None else list(reporter.stats.get("skipped", []))
