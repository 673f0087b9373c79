"""Places and sidecars as in the end-to-end tests, and servers of one's own to break."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import execute_on_server
from tests.e2e.conftest import any_place, embedded_place, place, start
from tests.support.place import Place
from tests.support.servers import MySQL, RabbitMQ
from tests.support.services import private_mysql, private_rabbitmq

__all__ = ["any_place", "embedded_place", "place", "start"]

MakePlace = Callable[..., Place]


@pytest.fixture(scope="module")
def own_rabbitmq() -> Iterator[RabbitMQ]:
    """A RabbitMQ for the tests of one file."""
    with private_rabbitmq() as server:
        yield server


@pytest.fixture(scope="module")
def own_mysql() -> Iterator[MySQL]:
    """A MySQL-family server for the tests of one file."""
    with private_mysql() as server:
        yield server


@pytest.fixture
def on_own_rabbitmq(own_rabbitmq: RabbitMQ, mysql_url: str, tmp_path: Path) -> Place:
    """A place whose broker may be broken."""
    return Place(own_rabbitmq.url, mysql_url, f"gs_{secrets.token_hex(4)}", tmp_path)


@pytest.fixture
def limited(own_rabbitmq: RabbitMQ) -> Iterator[MakePlace]:
    """`limited(place, configure=…, write=…)`: the same place for a user whose rights these patterns limit; called
    again, it changes them."""
    user = f"user{secrets.token_hex(4)}"
    own_rabbitmq.control("add_user", user, "secret")

    def limit(place: Place, configure: str = ".*", write: str = ".*") -> Place:
        own_rabbitmq.control("set_permissions", user, configure, write, ".*")
        url = place.broker_url.replace("guest:guest", f"{user}:secret")
        return Place(url, place.store_url, place.queue, place.folder, place.arguments, place.queue_type)

    yield limit
    own_rabbitmq.control("delete_user", user)


@pytest.fixture
def on_own_mysql(amqp_url: str, queue: str, own_mysql: MySQL, tmp_path: Path) -> Place:
    """A place whose database may be broken."""
    name = f"gs_{secrets.token_hex(4)}"
    execute_on_server(own_mysql.url, f"create database {name}")
    return Place(amqp_url, f"{own_mysql.url}{name}", queue, tmp_path)
