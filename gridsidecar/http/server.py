"""The listening socket and uvicorn behind it, within an event loop that has other work, too."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gridsidecar import telemetry
from gridsidecar.config.http import HttpSettings
from gridsidecar.errors import EX_CONFIG, GridSidecarError
from gridsidecar.http.limits import HEADER_LIMIT, most_connections

REQUEST_TIME = 10.0  # seconds that a client may take for the headers of a request, or for what is left of its body
IDLE_TIME = 15  # seconds that a connection is kept without a request
BACKLOG = 256


class CannotListen(GridSidecarError):
    """The address is taken, is not ours, or may not be listened on."""

    exit_code = EX_CONFIG


def listen(settings: HttpSettings) -> socket.socket:
    """A socket on `http.listen`; CannotListen."""
    try:
        listening = _listen(*settings.address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotListen(
            f"cannot listen on {settings.listen}: {reason}; http.listen, or --listen of serve, names it"
        ) from error
    # Connections inherit it. uvicorn writes an answer's headers and body apart: else the body waits for the client's
    # delayed acknowledgement, 40 ms. uvloop would set it, asyncio does not for sockets that do not name their protocol.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _listen(host: str, port: int) -> socket.socket:
    if host:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    return socket.create_server(("", port), family=family, backlog=BACKLOG, dualstack_ipv6=both)


class _Connection(H11Protocol):
    """One whose requests must be there in time: uvicorn waits for the rest of their headers, and of their bodies once
    it has answered, for ever."""

    most: int  # connections
    idle: dict[_Connection, None]  # those that no answer is written on, the longest first
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.idle[self] = None
        self._give_time(True)
        if len(self.connections) > self.most:  # whoever comes is heard, be it a probe
            next(iter(self.idle)).transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._give_time(self._unfinished)
        if self.cycle is not None and not self.cycle.response_complete:
            self.idle.pop(self, None)

    @property
    def _unfinished(self) -> bool:
        """Some of a request's headers are there, or it is answered and some of its body is not."""
        if self.conn.their_state is h11.IDLE:
            return bool(self.conn.trailing_data[0])
        return self.conn.their_state is h11.SEND_BODY and self.cycle.response_complete

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.idle[self] = None
        self._give_time(self._unfinished)

    def connection_lost(self, exc: Exception | None) -> None:
        self.idle.pop(self, None)
        self._give_time(False)
        super().connection_lost(exc)

    def _give_time(self, limited: bool) -> None:
        """Until it is closed; not more when something comes meanwhile."""
        if limited and self._late is None:
            self._late = self.loop.call_later(REQUEST_TIME, self.transport.close)
        elif not limited and self._late is not None:
            self._late.cancel()
            self._late = None


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the daemon's."""
        yield


class HttpServer:
    """An ASGI application on a socket."""

    def __init__(self, app: Any, listening: socket.socket) -> None:
        self._socket = listening
        config = uvicorn.Config(
            app,
            http=type("Connection", (_Connection,), {"most": most_connections(), "idle": {}}),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            h11_max_incomplete_event_size=HEADER_LIMIT,
            timeout_keep_alive=IDLE_TIME,
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """With the port that was given where 0 was asked for."""
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> None:
        """From now on requests are answered."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="http")
        telemetry.info("http server listens", url=self.url)

    async def stop(self, grace: float) -> None:
        """Take no more requests; those that are being answered get `grace` seconds."""
        if self._serving is None:
            self._socket.close()
            return
        self._server.should_exit = True
        try:
            async with asyncio.timeout(grace):
                await asyncio.shield(self._serving)
        except TimeoutError:
            self._server.force_exit = True
            await self._serving
