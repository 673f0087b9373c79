"""A fleet by the HTTP API of a worker, or of `gridsidecar serve`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from gridsidecar.errors import UsageError
from gridsidecar.fleet import Fleet
from gridsidecar.fleet.remote.queue import RemoteQueue
from gridsidecar.fleet.remote.requests import Requests
from gridsidecar.fleet.remote.steering import RemoteSteering
from gridsidecar.fleet.remote.tasks import RemoteTasks
from gridsidecar.fleet.remote.upkeep import RemoteUpkeep
from gridsidecar.outbound.reply import TargetRefused


class ServerAddress(Struct, frozen=True):
    """`url` with its base path; a token may be none, where the server asks for none."""

    url: str
    token: str | None = None


@asynccontextmanager
async def reach(address: ServerAddress, *, ask: bool = False) -> AsyncIterator[Fleet]:
    """UsageError for a URL that none is. `ask`: whether it answers is found out at once."""
    try:
        requests = Requests(address.url, address.token)
    except TargetRefused as error:
        raise UsageError(f"--server: {error}") from None
    try:
        if ask:
            await requests.get("/v1/pauses")
        yield Fleet(
            requests.place,
            RemoteTasks(requests),
            RemoteSteering(requests),
            RemoteUpkeep(requests),
            RemoteQueue(requests),
        )
    finally:
        await requests.close()
