"""A server that cannot be reached: what that means and what to do, for every way in which it happens."""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from aio_pika.exceptions import AMQPConnectionError

from gridsidecar.broker.inspection import Inspection
from gridsidecar.broker.unreachable import unreachable
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.errors import BrokerUnavailable
from gridsidecar.language import translator


async def told(url: str) -> BrokerUnavailable:
    inspection = Inspection(BrokerSettings(url=url, queue="q"))
    try:
        with pytest.raises(BrokerUnavailable) as caught:
            await inspection.server()
    finally:
        await inspection.close()
    return caught.value


def assert_understood(error: BrokerUnavailable | None, word: str) -> None:
    assert error is not None
    assert word in error.found
    assert "broker.url" in error.advice
    assert str(error) == f"{error.found}; {error.advice}"
    assert "Errno" not in str(error)
    chinese = translator("zh")(str(error))
    assert not set(" ".join(chinese.split()).split(" ")) & {"is", "it", "the", "there", "or", "whether"}, chinese


@contextmanager
def ends_connections(*, abruptly: bool) -> Iterator[int]:
    """A port where each connection ends at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def end() -> None:
            with closing(server.accept()[0]) as connection:
                connection.recv(8)
                if abruptly:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=end)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


async def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for host in ("127.0.0.1", "localhost"):
        error = await told(f"amqp://{host}:{port}/")
        assert_understood(error, "nothing listens there")
        assert error.found.startswith(f"RabbitMQ at {host}:{port} cannot be reached: ")


@pytest.mark.parametrize("abruptly", [True, False])
async def test_the_other_side_ends_the_connection(abruptly: bool) -> None:
    with ends_connections(abruptly=abruptly) as port:
        assert_understood(await told(f"amqp://127.0.0.1:{port}/"), "ended the connection")


@pytest.mark.parametrize(
    ("of_the_system", "word"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.1', 5672)"), "nothing listens"),
        (TimeoutError(errno.ETIMEDOUT, "Connect call failed"), "did not answer in time"),
        (TimeoutError(), "did not answer in time"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no way leads there"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no way leads there"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "ended the connection"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 101] Network"), "nothing listens"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no address is known"),
        (socket.gaierror(socket.EAI_NODATA, "No address associated with hostname"), "no address is known"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "name server did not answer"),
    ],
)
def test_what_the_system_says(of_the_system: OSError, word: str) -> None:
    assert_understood(unreachable("h:5672", of_the_system), word)
    by_the_client = AMQPConnectionError(*of_the_system.args)
    by_the_client.__cause__ = of_the_system
    assert_understood(unreachable("h:5672", by_the_client), word)


def test_what_is_about_something_else() -> None:
    assert unreachable("h:5672", AMQPConnectionError("no TLS: …")) is None
    assert unreachable("h:5672", OSError(errno.EMFILE, "Too many open files")) is None
