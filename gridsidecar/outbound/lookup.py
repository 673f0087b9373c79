"""From host names to addresses, in threads that nobody waits for: a resolver may hang for minutes."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

THREADS = 16  # at once; those that hang count until they are back

# Blocks. Raises OSError when there is no such name or nobody to ask.
Resolve = Callable[[str], list[str]]


def system_resolve(host: str) -> list[str]:
    """The addresses that this machine knows for a name, the preferred ones first."""
    found = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)  # as bytes: not encoded once more
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Lookup:
    """Asks in the background; to stop waiting is enough to give up."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._free = asyncio.Semaphore(THREADS)

    async def addresses(self, host: str) -> list[str]:
        """Raises OSError."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str]] = loop.create_future()

        def tell(addresses: list[str], error: Exception | None) -> None:
            self._free.release()
            if found.done():  # nobody waits any more
                return
            if error is None:
                found.set_result(addresses)
            else:
                found.set_exception(error)

        def look_up() -> None:
            addresses: list[str] = []
            error: Exception | None = None
            try:
                addresses = self._resolve(host)
            except Exception as raised:
                error = raised
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(tell, addresses, error)

        # A pool's threads would be joined at the end of the program, however long they hang.
        try:
            threading.Thread(target=look_up, name="look-up", daemon=True).start()
        except RuntimeError as error:  # no more threads
            self._free.release()
            raise OSError(str(error)) from error
        return await found
