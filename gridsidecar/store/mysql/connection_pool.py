"""A small pool of sessions. aiomysql's own has no pre-ping, recycles by idle time only, and connects under its lock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from gridsidecar import telemetry
from gridsidecar.config.mysql_url import MySQLAddress
from gridsidecar.errors import AccessRefused, StoreUnavailable
from gridsidecar.store.mysql.connection import Session
from gridsidecar.store.mysql.errors import BROKEN, Meaning, meaning

PING_AFTER = 10.0  # seconds of idling, then the session is tried before it is used
LONGEST_LIFE = 1800.0  # seconds, so that a changed address or a demoted server is noticed
CLOSE_GRACE = 5.0  # seconds for what is under way when the pool is closed
CROWDED_PAUSE = 30.0  # seconds for which a session that the server does not allow us is missing from the pool


class ConnectionPool:
    """At most `size` sessions; the last one given back is the first one taken."""

    def __init__(self, address: Callable[[], MySQLAddress], size: int, *, renewable: bool = False) -> None:
        """`address` is asked for each session; it is `renewable` where password or certificates stand in files."""
        self._address = address
        self._renewable = renewable
        self._let_in = False
        self._idle: list[Session] = []
        self._free = asyncio.Semaphore(size)
        self._in_use: set[Session] = set()
        self._guests = 0  # who has a session, or waits for one
        self._empty = asyncio.Event()  # nobody is left, once it is closed
        self._closed = False
        self._lost = False  # the server's answers stopped, and no session has been opened since
        self._large_turn = asyncio.Lock()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A session of one's own. It goes back to the pool only if nothing went wrong with it."""
        self._guests += 1
        try:
            session = await self._get()
            self._in_use.add(session)
            try:
                yield session
            except BaseException as error:
                if isinstance(error, BROKEN) and meaning(error) in (Meaning.GONE, Meaning.READ_ONLY):
                    self.purge()  # the others lead to the same server; to find that out from each takes its time
                session.close()  # also when cancelled in the middle of a reply: nobody can use it again
                raise
            finally:
                self._in_use.discard(session)
                self._free.release()
            if session.usable and not self._closed:
                self._idle.append(session)
            else:
                session.close()
        finally:
            self._guests -= 1
            if self._closed and not self._guests:
                self._empty.set()

    async def _get(self) -> Session:
        """A session, and a place taken in the pool. Where the server allows us no more, wait for one that is in use, or
        take one that was put back while we asked."""
        while True:
            await self._free.acquire()
            try:
                session = await self._take()
                if not self._closed:
                    return session
                session.close()
                raise _closed()
            except BaseException as error:
                if not ((self._in_use or self._idle) and meaning(error) is Meaning.CROWDED):
                    self._free.release()
                    raise
            asyncio.get_running_loop().call_later(CROWDED_PAUSE, self._free.release)

    async def _take(self) -> Session:
        if self._closed:
            raise _closed()
        now = asyncio.get_running_loop().time()
        while self._idle:
            session = self._idle.pop()
            if not session.usable or now - session.opened_at > LONGEST_LIFE:
                session.close()
            elif now - session.used_at < PING_AFTER or await _answers(session):
                return session
            else:
                self.purge()
        session = await self._open()
        if self._lost:
            self._lost = False
            telemetry.counts["reconnects to store"] += 1
        return session

    async def _open(self) -> Session:
        try:
            session = await Session.open(self._address(), self._large_turn)
        except AccessRefused as error:
            if self._renewable and self._let_in:  # the server has been given new ones, and our files are yet to follow
                raise StoreUnavailable(f"{error}; our files are read again at the next try") from error
            raise
        self._let_in = True
        return session

    def purge(self) -> None:
        """The server is gone: drop every idle session."""
        self._lost = True
        while self._idle:
            self._idle.pop().close()

    async def close(self) -> None:
        """For good. What is under way is given a while; then its session is closed below it."""
        self._closed = True
        self._free.release()  # whoever waits for one is told, one after the other
        while self._idle:
            await self._idle.pop().quit()
        if not self._guests:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_GRACE):
                await self._empty.wait()
        for session in self._in_use:
            session.close()


def _closed() -> StoreUnavailable:
    return StoreUnavailable("the store is closed")


async def _answers(session: Session) -> bool:
    try:
        await session.ping()
    except Exception:  # whatever it is, a new session is the answer
        session.close()
        return False
    return True
