"""The servers that tests own can be stopped, killed and started again without losing port or data."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pika  # type: ignore[import-untyped]
import pymysql
import pytest

from tests.support.servers import MySQL, RabbitMQ, ServerFailed, answers, free_port
from tests.support.services import private_mysql, private_rabbitmq


@pytest.fixture
def rabbitmq() -> Iterator[RabbitMQ]:
    with private_rabbitmq() as server:
        yield server


@pytest.fixture
def mysql() -> Iterator[MySQL]:
    with private_mysql() as server:
        yield server


def durable_queue(url: str, passive: bool) -> int:
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        answer = connection.channel().queue_declare("kept", durable=True, passive=passive)
        return int(answer.method.message_count)


def databases(server: MySQL, *statements: str) -> set[str]:
    connection = pymysql.connect(host="127.0.0.1", port=server.port, user="root")
    with closing(connection), connection.cursor() as cursor:
        for statement in (*statements, "show databases"):
            cursor.execute(statement)
        return {name for (name,) in cursor.fetchall()}


def test_rabbitmq_keeps_port_and_queues_over_stop_and_kill(rabbitmq: RabbitMQ) -> None:
    durable_queue(rabbitmq.url, passive=False)
    rabbitmq.restart()
    assert durable_queue(rabbitmq.url, passive=True) == 0
    rabbitmq.kill()
    assert not answers(rabbitmq.port, RabbitMQ.greeting)
    rabbitmq.start()
    assert durable_queue(rabbitmq.url, passive=True) == 0


def test_mysql_keeps_port_and_data_over_kill_and_stop(mysql: MySQL) -> None:
    databases(mysql, "create database kept")
    mysql.kill()
    assert not answers(mysql.port, MySQL.greeting)
    mysql.start()
    assert "kept" in databases(mysql)
    mysql.restart()
    assert "kept" in databases(mysql)


def test_nothing_is_left_behind(mysql: MySQL) -> None:
    mysql.close()
    assert not mysql.folder.exists()
    assert not answers(mysql.port, MySQL.greeting)


def test_a_server_does_not_outlive_a_killed_owner() -> None:
    program = (
        "import os, signal; from tests.support.services import private_mysql; server = private_mysql(); server.start();"
        "print(server.port, server.folder, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    owner = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert owner.returncode == -signal.SIGKILL, owner.stderr
    port, folder = owner.stdout.split()
    deadline = time.monotonic() + 20
    while answers(int(port), MySQL.greeting) or Path(folder).exists():
        assert time.monotonic() < deadline, f"the server on port {port} or {folder} is still there"
        time.sleep(0.05)


def test_a_server_that_cannot_start_shows_its_log() -> None:
    with pytest.raises(ServerFailed, match="no-such-option"), MySQL(options=["--no-such-option"]):
        pass


def test_a_port_that_another_process_took_and_has_not_bound_yet_is_not_free() -> None:
    ports = range(32_000, 32_040)
    program = (
        "from tests.support.servers import free_port;"
        f"print(*(free_port({ports!r}) for _ in range(30)), flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as other:
        assert other.stdout is not None
        theirs = {int(port) for port in other.stdout.readline().split()}
        ours = {free_port(ports) for _ in range(5)}
        other.communicate("\n")
    assert (len(theirs), len(ours)) == (30, 5)
    assert not theirs & ours
