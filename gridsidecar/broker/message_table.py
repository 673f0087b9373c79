"""The message table of the embedded broker: one function per step, each one transaction."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from gridsidecar import wire
from gridsidecar.broker import QueueInfo, delays
from gridsidecar.config.urls import make_private
from gridsidecar.rules.task import Message
from gridsidecar.wal import BOUND

BUSY_TIMEOUT = 10.0  # seconds to wait for another process's write
WAL_TRIES, WAL_PAUSE = 250, 0.02  # seconds

# A hidden row is delayed (no owner) or leased (an owner) until `visible_at`, then ready again. So an expired lease
# and a delay that ran out are one and the same thing, found by one index.
SCHEMA = (
    """create table if not exists gridsidecar_messages (
         id integer primary key autoincrement,
         queue text not null,
         priority integer not null,
         ready integer not null,
         visible_at real not null,
         delivery_count integer not null default 0,
         lease_owner text,
         properties text not null,
         body blob not null)""",
    """create index if not exists gridsidecar_messages_ready
         on gridsidecar_messages (queue, priority desc, id) where ready = 1""",
    """create index if not exists gridsidecar_messages_hidden
         on gridsidecar_messages (queue, visible_at) where ready = 0""",
    """create index if not exists gridsidecar_messages_owner
         on gridsidecar_messages (lease_owner) where lease_owner is not null""",
)


class MessageLease(Struct, frozen=True):
    """A message on lease: `count` tells this lease from any other of the same row."""

    id: int
    count: int


class LeasedMessage(Struct, frozen=True):
    held: MessageLease
    message: Message


class ReadyMessages(Struct, frozen=True):
    """What was ready, and the wall clock time at which the next hidden row comes back, if there is one."""

    taken: tuple[LeasedMessage, ...]
    next_at: float | None


# Fenced: a lease that ran out and was given to somebody else matches none of these.
RENEW = """update gridsidecar_messages set visible_at = ?
  where id = ? and lease_owner = ? and delivery_count = ? and ready = 0"""
REQUEUE = """update gridsidecar_messages set ready = 1, lease_owner = null
  where id = ? and lease_owner = ? and delivery_count = ? and ready = 0"""
REMOVE = "delete from gridsidecar_messages where id = ? and lease_owner = ? and delivery_count = ? and ready = 0"


class MessageTable:
    """One queue's rows, over one connection that is used by one thread at a time. Times are seconds since 1970."""

    def __init__(self, path: str, queue: str, owner: str) -> None:
        self._queue = queue
        self._owner = owner
        make_private(path)
        self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    def put(self, message: Message, queue: str, now: float, delay: float) -> None:
        """Add a message that is ready after `delay` seconds."""
        row = (
            queue,
            message.priority or 0,
            delay <= 0,
            now + max(0.0, delay),
            wire.encode_properties(message),
            message.body,
        )
        with self._writing():
            self._db.execute(
                "insert into gridsidecar_messages (queue, priority, ready, visible_at, properties, body)"
                " values (?, ?, ?, ?, ?, ?)",
                row,
            )

    def take(self, limit: int, now: float, lease: float) -> ReadyMessages:
        """Lease up to `limit` ready messages. Writes nothing when there is none."""
        taken: tuple[LeasedMessage, ...] = ()
        if self._anything(now):
            with self._writing():
                self._uncover(now)
                taken = tuple(self._lease(limit, now + lease))
        return ReadyMessages(taken, self._next_at())

    def renew(self, held: Iterable[MessageLease], until: float) -> list[MessageLease]:
        """Move the leases on; those that were not ours any more."""
        with self._writing():
            return [one for one in held if not self._changed(RENEW, until, *self._fence(one))]

    def remove(self, one: MessageLease) -> bool:
        """Forget a message; False when the lease was not ours any more."""
        with self._writing():
            return self._changed(REMOVE, *self._fence(one))

    def requeue(self, held: Iterable[MessageLease]) -> int:
        """Make messages ready again; how many were still ours."""
        with self._writing():
            return sum(self._changed(REQUEUE, *self._fence(one)) for one in held)

    def ready_count(self, now: float) -> int:
        return self._ready_in(self._queue, now)

    def info(self, dead_letters: str, now: float) -> QueueInfo:
        """Everything but the consumers, of whom the file knows nothing."""
        hidden = self._db.execute(
            "select visible_at - ?2, lease_owner is not null from gridsidecar_messages"
            " where queue = ?1 and ready = 0 and visible_at > ?2",
            (self._queue, now),
        )
        delayed: Counter[int] = Counter()
        unsettled = 0
        for left, leased in hidden:
            if leased:
                unsettled += 1
            else:
                delayed[delays.delay_within(left)] += 1
        return QueueInfo(
            queue=self._queue,
            exists=True,
            ready=self.ready_count(now),
            delayed=dict(sorted(delayed.items())),
            dead=self._ready_in(dead_letters, now),
            unsettled=unsettled,
        )

    def purge(self, now: float) -> int:
        """Remove what is ready; the number of messages."""
        with self._writing():
            self._uncover(now)
            gone = self._db.execute("delete from gridsidecar_messages where queue = ? and ready = 1", (self._queue,))
            return gone.rowcount

    def ready_ids(self, queue: str, now: float) -> list[int]:
        """What nobody holds in any queue of the file, oldest first."""
        rows = self._db.execute(
            "select id from gridsidecar_messages where queue = ? and (ready = 1 or visible_at <= ?) order by id",
            (queue, now),
        )
        return [id_ for (id_,) in rows]

    def read(self, id_: int, now: float) -> Message | None:
        """A message without a lease; None when it is gone or somebody holds it."""
        row = self._db.execute(
            "select properties, body from gridsidecar_messages where id = ? and (ready = 1 or visible_at <= ?)",
            (id_, now),
        ).fetchone()
        return None if row is None else stored_message(row[0], row[1])

    def forget(self, id_: int) -> None:
        """Remove a message, whoever may hold it."""
        with self._writing():
            self._db.execute("delete from gridsidecar_messages where id = ?", (id_,))

    def _ready_in(self, queue: str, now: float) -> int:
        row = self._db.execute(
            "select (select count(*) from gridsidecar_messages where queue = ?1 and ready = 1)"
            " + (select count(*) from gridsidecar_messages where queue = ?1 and ready = 0 and visible_at <= ?2)",
            (queue, now),
        ).fetchone()
        return int(row[0])

    def _use_wal(self) -> None:
        """SQLite does not wait for others where it changes the journal of a new file, whatever its busy timeout."""
        for last in [False] * WAL_TRIES + [True]:
            try:
                self._db.execute("pragma journal_mode = wal")
                return
            except sqlite3.OperationalError as error:
                if last or "locked" not in str(error):
                    raise
            time.sleep(WAL_PAUSE)

    def _prepare(self) -> None:
        self._use_wal()
        self._db.execute("pragma synchronous = full")
        self._db.execute(BOUND)
        with self._writing():
            for statement in SCHEMA:
                self._db.execute(statement)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
            self._db.execute("commit")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise

    def _anything(self, now: float) -> bool:
        row = self._db.execute(
            "select exists (select 1 from gridsidecar_messages where queue = ?1 and ready = 1)"
            " or exists (select 1 from gridsidecar_messages where queue = ?1 and ready = 0 and visible_at <= ?2)",
            (self._queue, now),
        ).fetchone()
        return bool(row[0])

    def _uncover(self, now: float) -> None:
        self._db.execute(
            "update gridsidecar_messages set ready = 1, lease_owner = null"
            " where queue = ? and ready = 0 and visible_at <= ?",
            (self._queue, now),
        )

    def _lease(self, limit: int, until: float) -> Iterator[LeasedMessage]:
        rows = self._db.execute(
            "select id, delivery_count + 1, properties, body from gridsidecar_messages"
            " where queue = ? and ready = 1 order by priority desc, id limit ?",
            (self._queue, limit),
        ).fetchall()
        self._db.executemany(
            "update gridsidecar_messages set ready = 0, visible_at = ?, lease_owner = ?, delivery_count = ?"
            " where id = ?",
            [(until, self._owner, count, id_) for id_, count, _, _ in rows],
        )
        for id_, count, properties, body in rows:
            yield LeasedMessage(MessageLease(id_, count), stored_message(properties, body))

    def _next_at(self) -> float | None:
        row = self._db.execute(
            "select min(visible_at) from gridsidecar_messages where queue = ? and ready = 0", (self._queue,)
        ).fetchone()
        return None if row[0] is None else float(row[0])

    def _changed(self, sql: str, *values: float | str) -> bool:
        return self._db.execute(sql, values).rowcount == 1

    def _fence(self, one: MessageLease) -> tuple[int, str, int]:
        return one.id, self._owner, one.count


def stored_message(properties: str | None, body: bytes) -> Message:
    """A message of the file. One whose properties somebody spoilt is handed out without them."""
    try:
        return wire.decode_properties(properties, body)
    except ValueError:
        return Message(body=body)
