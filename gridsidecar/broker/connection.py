"""One connection to RabbitMQ, made on demand, and its failures in our own words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aio_pika
import aiormq.abc
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    AMQPConnectionError,
    AuthenticationError,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from aiormq.connection import TransportFactory
from aiormq.exceptions import ChannelAccessRefused, ConnectionNotAllowed
from yarl import URL

from gridsidecar import telemetry
from gridsidecar.broker import pamqp_patches
from gridsidecar.broker.advice import advice, words
from gridsidecar.broker.direct import DeliveryReader, DirectChannel
from gridsidecar.broker.tls_refusal import WANTED, tls_refusal
from gridsidecar.broker.unreachable import BROKE_OFF, unreachable
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.config.tls import Tls, broker_tls
from gridsidecar.errors import AccessRefused, BrokerUnavailable, ConfigError, Fault, OperationRefused

CONNECT_TIMEOUT = 10.0  # seconds
CLOSE_TIMEOUT = 5.0
BLOCKED_TIMEOUT = 5.0

NOT_ALLOWED = ("NOT_ALLOWED", "ACCESS_REFUSED", "INVALID_PATH")
PERMISSIONS = "check the user's permissions"

# The client reports in its own words what we raise or log in ours.
for name in ("aio_pika", "aiormq"):
    logging.getLogger(name).addHandler(logging.NullHandler())

_LOGIN = (ProbableAuthenticationError, AuthenticationError)

pamqp_patches.install()


class AbortableConnection(aio_pika.Connection, TransportFactory):
    """Makes its socket, and remembers it: a peer that answers no more can only be left by dropping the socket."""

    def __init__(self, url: URL, tls: Tls | None) -> None:
        super().__init__(url)
        self.kwargs["transport_factory"] = self
        self._tls = tls
        self._reader: DeliveryReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert url.host is not None
        assert url.port is not None
        kwargs.pop("ssl_context_provider")
        loop = asyncio.get_running_loop()
        self._reader = DeliveryReader()
        protocol = asyncio.StreamReaderProtocol(self._reader, loop=loop)
        try:
            context = None if self._tls is None else self._tls.context()
            transport, _ = await loop.create_connection(lambda: protocol, url.host, url.port, ssl=context, **kwargs)
        except ValueError as error:  # the files do not go together: they are being renewed
            raise AMQPConnectionError(f"no TLS: {error}") from error
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)
        return self._reader, self._writer

    @property
    def underlay(self) -> aiormq.abc.AbstractConnection:
        """The protocol layer of a connection that was opened."""
        assert self.transport is not None
        return self.transport.connection

    @property
    def alive(self) -> bool:
        return self.transport is not None and self.underlay.is_opened

    async def direct_channel(self) -> DirectChannel:
        """One whose deliveries and acks go past the client."""
        channel = await self.channel(publisher_confirms=False)
        assert self._reader is not None
        assert self._writer is not None
        direct = DirectChannel(channel, await channel.get_underlay_channel(), self._writer)
        self._reader.add(direct)
        return direct

    @property
    def close_text(self) -> str:
        """Why the server closes this connection, in its words; empty as long as it does not."""
        return "" if self._reader is None else self._reader.close_text

    @property
    def made(self) -> bool:
        """Whether there is a socket, encrypted where it is to be."""
        return self._writer is not None

    def drop(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()

    async def leave(self, limit: float) -> None:
        """Close it. A peer that has not answered within `limit` seconds loses the socket: the client waits for that,
        cancelled or not."""
        dropping = asyncio.get_running_loop().call_later(limit, self.drop)
        try:
            with suppress(BrokerUnavailable, AccessRefused), errors_as_ours("the broker"):
                await self.close()
        finally:
            dropping.cancel()
            self.drop()


class BrokerConnection:
    """A connection that is opened when first needed and again after it died."""

    def __init__(self, settings: BrokerSettings, purpose: str) -> None:
        self._settings = settings
        self._purpose = purpose
        self._urls = [_url(settings, url, purpose) for url in settings.urls]
        for url in self._urls:
            _tls(url)
        self._order = list(range(len(self._urls)))  # the one in use, or tried next, in front
        self._connection: AbortableConnection | None = None
        self._changing = asyncio.Lock()
        self._closed = False
        self.generation = 0  # counts the connections made so far

    @property
    def where(self) -> str:
        """Host and port of the server that is in use, or tried next."""
        return _where(self._urls[self._order[0]])

    @property
    def connected(self) -> bool:
        return self._connection is not None and self._connection.alive

    async def confirming_channel(self) -> AbstractChannel:
        """A new channel to publish on, on a new connection if need be. Raises BrokerUnavailable or AccessRefused."""
        with errors_as_ours(self.where):
            connection = await self._connected()
            return await connection.channel(publisher_confirms=True, on_return_raises=True)

    async def direct_channel(self) -> DirectChannel:
        """The same, for a consumer."""
        with errors_as_ours(self.where):
            connection = await self._connected()
            return await connection.direct_channel()

    async def unblocked(self) -> None:
        """Wait until the broker reads what we publish. Raises BrokerUnavailable when it says that it does not."""
        connection = await self._connected()
        try:
            async with asyncio.timeout(BLOCKED_TIMEOUT):
                await connection.underlay.ready()
        except TimeoutError:
            raise BrokerUnavailable(
                f"RabbitMQ at {self.where} takes no messages at the moment: it is short of memory or disk space"
            ) from None

    @asynccontextmanager
    async def scratch(self, *, confirms: bool = False) -> AsyncIterator[aiormq.abc.AbstractChannel]:
        """A channel to throw away: the server closes a channel on every refusal. It is the protocol layer's, as
        aio-pika keeps 4 KiB of each of its own until the connection ends."""
        with errors_as_ours(self.where):
            connection = await self._connected()
            channel = await connection.underlay.channel(publisher_confirms=confirms)
        try:
            yield channel
        finally:
            await close_quietly(channel)

    async def server(self) -> Mapping[str, Any]:
        """What the server says of itself: `product`, `version`, … Raises BrokerUnavailable or AccessRefused."""
        with errors_as_ours(self.where):
            connection = await self._connected()
            properties = getattr(connection.underlay, "server_properties", {})  # not in the client's interface
        return {name: _text(value) for name, value in properties.items()}

    async def close(self, limit: float = CLOSE_TIMEOUT) -> None:
        """Close for good; a peer that does not answer within `limit` seconds is left without a word."""
        self._closed = True
        async with self._changing:
            await self._discard(limit)

    async def _connected(self) -> AbortableConnection:
        async with self._changing:
            if self._closed:
                raise BrokerUnavailable(f"the connection to RabbitMQ at {self.where} was closed by this process")
            if self._connection is None or not self._connection.alive:
                await self._discard(CLOSE_TIMEOUT)
                self._connection = await self._connect()
                self.generation += 1
                telemetry.counts["reconnects to broker"] += self.generation > 1
            return self._connection

    async def _connect(self) -> AbortableConnection:
        """To the first server that can be reached. One that answers and refuses us would not be the only one."""
        failures = []
        for _ in self._urls:
            index = self._order.pop(0)
            self._order.append(index)  # also where somebody loses patience meanwhile: the next try begins with another
            url = self._url_now(index)
            try:
                with errors_as_ours(_where(url)):
                    connection = await self._connect_to(url, CONNECT_TIMEOUT / len(self._urls))
            except BrokerUnavailable as error:
                failures.append(error)
            else:
                self._order.insert(0, self._order.pop())
                return connection
        if len(failures) == 1:
            raise failures[0]
        raise BrokerUnavailable(f"no server of broker.url can be reached: {'; '.join(map(str, failures))}")

    def _url_now(self, index: int) -> URL:
        """With what the files of its secrets hold by now; where that is no URL, as it was."""
        now = self._settings.urls_now
        if self._settings.recipes and index < len(now):
            with suppress(ConfigError):
                url = _url(self._settings, now[index], self._purpose)
                _tls(url)
                self._urls[index] = url
        return self._urls[index]

    async def _connect_to(self, url: URL, limit: float) -> AbortableConnection:
        tls = _tls(url)
        connection = AbortableConnection(url, tls)
        try:
            async with asyncio.timeout(limit):
                await connection.connect()
        except BaseException as error:
            connection.drop()
            await connection.close()  # it was not opened: this waits for nothing
            if isinstance(error, InvalidFrameError) and connection.close_text:
                # The client tells only that it had expected something else.
                raise _turned_away(_where(url), connection.close_text) from error
            renewable = bool(self._settings.recipes) or (tls is not None and tls.renewable)
            refused = isinstance(error, _LOGIN)
            refusal = f"the login is refused ({error})" if refused else tls_refusal(_where(url), error)
            if renewable and self.generation and refusal is not None:
                # It let us in before: the server has been given new ones, and our files are yet to follow.
                raise AMQPConnectionError(f"{refusal}; our files are read again at the next try") from None
            if tls is not None and connection.made and refusal is None and type(error) is AMQPConnectionError:
                # The alert that says why may be lost with the connection.
                raise AMQPConnectionError(f"{error}; {WANTED}") from None
            if refusal is None and (away := unreachable(_where(url), error)) is not None:
                raise away from error
            raise
        return connection

    async def _discard(self, limit: float) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.leave(limit)


def _tls(url: URL) -> Tls | None:
    try:
        return broker_tls(str(url))
    except ValueError as error:
        raise ConfigError([Fault("broker.url", str(error))]) from error


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else value


def _where(url: URL) -> str:
    return f"{url.host}:{url.port or (5671 if url.scheme == 'amqps' else 5672)}"


def _url(settings: BrokerSettings, text: str, purpose: str) -> URL:
    try:
        url = URL(text)
    except ValueError:  # its words may hold a part of the password
        raise ConfigError([Fault("broker.url", "must look like amqp://user:password@host:5672/vhost")]) from None
    if url.scheme not in ("amqp", "amqps") or not url.host:
        raise ConfigError([Fault("broker.url", "must look like amqp://user:password@host:5672/vhost")])
    return url.update_query(heartbeat=settings.heartbeat, name=f"gridsidecar {purpose}")


async def close_quietly(channel: AbstractChannel | aiormq.abc.AbstractChannel) -> None:
    """Close within CLOSE_TIMEOUT; whether the other side still listens does not matter."""
    with suppress(TimeoutError, BrokerUnavailable, AccessRefused), errors_as_ours("the broker"):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await channel.close()


@contextmanager
def errors_as_ours(where: str) -> Iterator[None]:
    """Turn what the client raises into BrokerUnavailable and AccessRefused. The texts hold no password."""
    try:
        yield
    except asyncio.CancelledError as error:
        if _cancelled_from_outside():
            raise
        # The client ends its waiters with a CancelledError when it gives up a connection by itself.
        raise BrokerUnavailable(f"the connection to RabbitMQ at {where} was lost") from error
    except (ProbableAuthenticationError, AuthenticationError) as error:
        raise AccessRefused(
            f"RabbitMQ at {where} refused the login: {words(error)}", advice(error, "check broker.url")
        ) from error
    except ChannelAccessRefused as error:
        raise OperationRefused(f"RabbitMQ at {where} refused: {words(error)}", advice(error, PERMISSIONS)) from error
    except ConnectionNotAllowed as error:
        raise AccessRefused(f"RabbitMQ at {where} refused: {words(error)}", advice(error, PERMISSIONS)) from error
    except InvalidFrameError as error:
        raise BrokerUnavailable(f"RabbitMQ at {where} sent something that is not AMQP: {error}") from error
    except TimeoutError as error:
        raise BrokerUnavailable(f"RabbitMQ at {where} did not answer in time") from error
    except Exception as error:
        if (refused := tls_refusal(where, error)) is not None:
            raise refused from error
        # The client raises a bare Exception where it has no better reason for a closed channel.
        if isinstance(error, OSError) and error.errno in BROKE_OFF:
            raise BrokerUnavailable(f"the connection to RabbitMQ at {where} was lost") from error
        if isinstance(error, CONNECTION_EXCEPTIONS) or type(error) is Exception:
            raise BrokerUnavailable(f"RabbitMQ at {where}: {str(error) or 'the connection was lost'}") from error
        raise


def _turned_away(where: str, reply: str) -> AccessRefused | BrokerUnavailable:
    """The login passed, opening the virtual host did not."""
    refusal = AccessRefused if reply.startswith(NOT_ALLOWED) else BrokerUnavailable
    return refusal(f"RabbitMQ at {where} refused the connection: {words(reply)}", advice(reply))


def _cancelled_from_outside() -> bool:
    current = asyncio.current_task()
    return current is None or current.cancelling() > 0
