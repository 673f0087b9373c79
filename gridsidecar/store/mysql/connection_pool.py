"""A small pool of sessions. aiomysql's own has no pre-ping, recycles by idle time only, and connects under its lock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gridsidecar import telemetry
from gridsidecar.config.mysql_url import MySQLAddress
from gridsidecar.errors import AccessRefused, StoreUnavailable
from gridsidecar.store.mysql.connection import Session
from gridsidecar.store.mysql.errors import BROKEN, Meaning, meaning

PING_AFTER = 10.0  # seconds of idling, then the session is tried before it is used
LONGEST_LIFE = 1800.0  # seconds, so that a changed address or a demoted server is noticed
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
        self._in_use = 0
        self._lost = False  # the server's answers stopped, and no session has been opened since
        self._large_turn = asyncio.Lock()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A session of one's own. It goes back to the pool only if nothing went wrong with it."""
        session = await self._get()
        self._in_use += 1
        try:
            try:
                yield session
            except BaseException as error:
                if isinstance(error, BROKEN) and meaning(error) in (Meaning.GONE, Meaning.READ_ONLY):
                    self.purge()  # the others lead to the same server; to find that out from each takes its time
                session.close()  # also when cancelled in the middle of a reply: nobody can use it again
                raise
            if session.usable:
                self._idle.append(session)
        finally:
            self._in_use -= 1
            self._free.release()

    async def _get(self) -> Session:
        """A session, and a place taken in the pool. Where the server allows us no more, wait for one that is in use, or
        take one that was put back while we asked."""
        while True:
            await self._free.acquire()
            try:
                return await self._take()
            except BaseException as error:
                if not ((self._in_use or self._idle) and meaning(error) is Meaning.CROWDED):
                    self._free.release()
                    raise
            asyncio.get_running_loop().call_later(CROWDED_PAUSE, self._free.release)

    async def _take(self) -> Session:
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
        while self._idle:
            await self._idle.pop().quit()


async def _answers(session: Session) -> bool:
    try:
        await session.ping()
    except Exception:  # whatever it is, a new session is the answer
        session.close()
        return False
    return True
