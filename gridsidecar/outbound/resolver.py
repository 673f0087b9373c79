"""From host names to addresses, in threads that nobody waits for: a resolver may hang for minutes."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from gridsidecar.outbound.reply import NotTried

THREADS = 64  # at once, one for each name; those that hang count until they are back
THREADS_FOR_NEW_NAMES = 48  # … so many: the rest is for names that had an address lately
LIMIT = 10.0  # seconds to wait for one
NAMES_KNOWN = 10_000

# Blocks. Raises OSError when there is no such name or nobody to ask.
Resolve = Callable[[str], list[str]]


def system_resolve(host: str) -> list[str]:
    """The addresses that this machine knows for a name, the preferred ones first."""
    return _addresses(host)


class Resolver:
    """Asks in the background; to stop waiting is enough to give up. An address is no question."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._asked: dict[str, asyncio.Future[list[str] | Exception]] = {}
        self._known: dict[str, None] = {}  # names that had an address, the last one last

    async def addresses(self, host: str) -> list[str]:
        """Raises OSError, and NotTried where names that hang take all the room."""
        if written := _written(host):
            return written
        asked = self._asked.get(host) or self._ask(host)
        try:
            async with asyncio.timeout(LIMIT):
                found = await asyncio.shield(asked)
        except TimeoutError:
            raise OSError(f"no name server has answered within {LIMIT:g} s") from None
        if isinstance(found, Exception):
            raise found
        return found

    def _ask(self, host: str) -> asyncio.Future[list[str] | Exception]:
        if len(self._asked) >= (THREADS if host in self._known else THREADS_FOR_NEW_NAMES):
            raise NotTried(f"{host} was not looked up: {len(self._asked)} other names wait for an answer")
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[list[str] | Exception] = loop.create_future()

        def look_up() -> None:
            found: list[str] | Exception
            try:
                found = self._resolve(host)
            except Exception as raised:
                found = raised
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._found, host, found)

        # A pool's threads would be joined at the end of the program, however long they hang.
        try:
            threading.Thread(target=look_up, name="look-up", daemon=True).start()
        except RuntimeError as error:  # no more threads
            raise NotTried(f"{host} was not looked up: {error}") from error
        self._asked[host] = asked
        return asked

    def _found(self, host: str, found: list[str] | Exception) -> None:
        self._known.pop(host, None)
        if isinstance(found, list):
            self._known[host] = None
            if len(self._known) > NAMES_KNOWN:
                del self._known[next(iter(self._known))]
        asked = self._asked.pop(host)
        if not asked.done():
            asked.set_result(found)


def _written(host: str) -> list[str]:
    """The address that a host is, in whatever spelling; none for a name."""
    try:
        return _addresses(host.removesuffix("."), socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []


def _addresses(host: str, flags: int = 0) -> list[str]:
    # As bytes: not encoded once more.
    found = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM, flags=flags)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
