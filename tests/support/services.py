"""Finds a RabbitMQ and a MySQL-family server: given by URL, in Docker, from local binaries, or installed on Debian.

`python -m tests.support.services -- COMMAND` runs a command with both at hand;
`python -m tests.support.services` only downloads or installs what starting them will need.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Literal

from tests.support import newer
from tests.support.container import Container
from tests.support.debian import CannotInstall, install
from tests.support.servers import MySQL, RabbitMQ, Server

AMQP_VARIABLE = "GRIDSIDECAR_TEST_AMQP_URL"
MYSQL_VARIABLE = "GRIDSIDECAR_TEST_MYSQL_URL"
QUEUE_TYPE_VARIABLE = "GRIDSIDECAR_TEST_QUEUE_TYPE"
RABBITMQ_IMAGE = "rabbitmq:4"
MYSQL_IMAGE = "mysql:8.4"


class NoService(Exception):
    """No real server can be had on this machine; the message names every way to get one."""


def queue_type() -> Literal["classic", "quorum"]:
    """The type of work queue that tests use where they do not try both."""
    return "quorum" if os.environ.get(QUEUE_TYPE_VARIABLE) == "quorum" else "classic"


@contextmanager
def rabbitmq_url() -> Iterator[str]:
    """The URL of a RabbitMQ that lives at least as long as the context."""
    with _service(AMQP_VARIABLE, _rabbitmq_container, private_rabbitmq) as url:
        yield url


@contextmanager
def mysql_url() -> Iterator[str]:
    """The URL of a MySQL-family server, without a database, that lives at least as long as the context."""
    with _service(MYSQL_VARIABLE, _mysql_container, private_mysql) as url:
        yield url


def private_rabbitmq(conf: Sequence[str] = (), plugins: Sequence[str] = (), *, as_installed: bool = False) -> RabbitMQ:
    """A RabbitMQ of one's own, not yet started, for whoever wants to kill it or needs plugins."""
    if newer.wanted() and not as_installed:
        return newer.NewerRabbitMQ(conf, plugins)
    _make_sure(RabbitMQ.is_here, "rabbitmq-server", AMQP_VARIABLE)
    return RabbitMQ(conf, plugins)


def private_mysql(options: Sequence[str] = (), *, as_installed: bool = False) -> MySQL:
    """A MariaDB or MySQL of one's own, not yet started, for whoever wants to kill it or needs `options`.

    `as_installed`: this machine's, also where the newer ones are wanted.
    """
    if newer.wanted() and not as_installed:
        return newer.NewerMySQL(options)
    _make_sure(MySQL.is_here, "mariadb-server", MYSQL_VARIABLE)
    return MySQL(options)


@contextmanager
def _service(variable: str, in_docker: Callable[[], Server], private: Callable[[], Server]) -> Iterator[str]:
    if given := os.environ.get(variable):
        yield given
        return
    with in_docker() if docker_answers() and not newer.wanted() else private() as server:
        yield server.url


@cache
def docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def prepare() -> None:
    """Does the slow part, download or installation, so that no test's time limit has to cover it."""
    for variable, image, private in (
        (AMQP_VARIABLE, RABBITMQ_IMAGE, private_rabbitmq),
        (MYSQL_VARIABLE, MYSQL_IMAGE, private_mysql),
    ):
        if os.environ.get(variable):
            continue
        if docker_answers():
            subprocess.run(["docker", "pull", "--quiet", image], check=True, stdout=subprocess.DEVNULL)
        else:
            private().close()


def _rabbitmq_container() -> Server:
    return Container(RABBITMQ_IMAGE, 5672, "amqp://guest:guest@{address}/%2F", RabbitMQ.greeting, {})


def _mysql_container() -> Server:
    return Container(
        MYSQL_IMAGE, 3306, "mysql://root@{address}/", MySQL.greeting, {"MYSQL_ALLOW_EMPTY_PASSWORD": "yes"}
    )


def _make_sure(is_here: Callable[[], bool], package: str, variable: str) -> None:
    if is_here():
        return
    try:
        install(package)
    except CannotInstall as error:
        raise NoService(
            f"no {package} here: set {variable} to a server's URL, start Docker, or install {package} ({error})"
        ) from None
    if not is_here():
        raise NoService(f"{package} is installed and its programs are not where they belong; set {variable} instead")


def main(arguments: list[str]) -> int:
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        prepare()
        return 0
    with ExitStack() as stack:
        urls = {
            AMQP_VARIABLE: stack.enter_context(rabbitmq_url()),
            MYSQL_VARIABLE: stack.enter_context(mysql_url()),
        }
        print(f"{AMQP_VARIABLE}={urls[AMQP_VARIABLE]} {MYSQL_VARIABLE}={urls[MYSQL_VARIABLE]}", file=sys.stderr)
        # Ctrl-C reaches the command too, which then ends by itself; the servers stay until it has.
        signal.signal(signal.SIGINT, lambda *_: None)
        return subprocess.run(command, env=os.environ | urls).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except NoService as error:
        sys.exit(str(error))
