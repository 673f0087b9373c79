"""Whether the server takes other writes while it fails one: what comes of the server meets all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import uuid4

from gridsidecar.config.mysql_url import MySQLAddress
from gridsidecar.errors import GridSidecarError
from gridsidecar.store.mysql.connection import Session
from gridsidecar.store.mysql.errors import BROKEN
from gridsidecar.store.queries import TableNames

LONGEST = 5.0  # seconds; a server that takes longer is not well
_LIFE = """INSERT INTO `{t}` (id, created_at, updated_at) VALUES ('{id}', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3));
UPDATE `{t}` SET status = 'success' WHERE id = '{id}';
INSERT INTO `{t}_attempts` (task_id, attempt, ended_at, outcome) VALUES ('{id}', 1, UTC_TIMESTAMP(3), 'success');
INSERT INTO `{t}_callbacks` (task_id, rerun, id, attempt, kind, receiver, body, created_at)
VALUES ('{id}', 0, '{id}', 1, 'http', '', '', UTC_TIMESTAMP(3))"""
_OTHERS = ("workers", "pauses", "rates", "output")


class Witness:
    """Has a task of its own claimed and ended, on a session of its own, and takes all of it back."""

    def __init__(self, address: Callable[[], MySQLAddress], tables: TableNames) -> None:
        self._address = address
        self._tables = tables
        self._asked: asyncio.Task[bool] | None = None
        self._closed = False

    async def takes_writes(self) -> bool:
        """Asked by many at once, it looks once."""
        if self._closed:
            return False
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self._looked())
        asked = self._asked
        await asyncio.wait([asked])
        return not asked.cancelled() and asked.result()

    async def close(self) -> None:
        self._closed = True
        if self._asked is not None:
            self._asked.cancel()
            await asyncio.gather(self._asked, return_exceptions=True)

    async def _looked(self) -> bool:
        try:
            async with asyncio.timeout(LONGEST):
                session = await Session.open(self._address(), asyncio.Lock())
                try:
                    await self._live(session)
                finally:
                    session.close()
        except (GridSidecarError, *BROKEN):
            return False
        return True

    async def _live(self, session: Session) -> None:
        """In every table that a claim or an end writes, so that one of them that is locked is nobody's own fault."""
        life = _LIFE.format(t=self._tables.tasks, id=f"witness-{uuid4().hex}").split(";\n")
        locks = [f"DELETE FROM `{self._tables.tasks}_{word}` WHERE FALSE" for word in _OTHERS]  # noqa: S608  # names
        for sql in ("BEGIN", *life, *locks, "ROLLBACK"):
            await session.run(sql)
