"""Callbacks owed: written with a task's end, taken by whoever sends them, until they are delivered or given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

from msgspec import Struct

from gridsidecar import wire
from gridsidecar.clock import Clock
from gridsidecar.rules.reception import Close
from gridsidecar.rules.task import Callback, ErrorType, Message, Transition
from gridsidecar.rules.trace import Trace
from gridsidecar.store.callback_forms import NOT_STORED, WHOLE, CallbackForm, OwedForm
from gridsidecar.store.database import Connection, Database, RowRejected, Statement
from gridsidecar.store.quarantine import Ask, Quarantine
from gridsidecar.store.queries import Query
from gridsidecar.store.records import ascii_only, produced, storable
from gridsidecar.store.room import Room, Unlimited

if TYPE_CHECKING:
    from gridsidecar.views import CallbackRow

ERROR_LIMIT = 2000  # characters
LETTER = "letter"  # the kind of what is owed to the dead letters: see `letters`
FIRST_LOOKED_AT = 64  # callbacks that are due for the longest
DROPPED_AT_ONCE = 100
ROWS_LOOKED_AT = 500  # … and then in the order of receivers, each look where the last one ended


class OwedCallback(Struct, frozen=True, kw_only=True):
    """One callback in the hands of a sender. `id` is the same at every try; `tries` fences what is written about it."""

    task_id: str
    rerun: int
    id: str
    attempt: int
    kind: str  # http | rabbitmq | letter
    url: str | None
    receiver: str  # who is at the other end, as far as slowness goes: a host and port, or RabbitMQ
    body: bytes  # of UTF-8: as text, one wide character would make all of them take four bytes
    tries: int
    failures: int  # tries that failed; one that died with its sidecar is none
    letter: Message | None = None  # of a letter: the message to send; None where it cannot be read
    trace: Trace | None = None  # that the task's message belongs to

    @property
    def size(self) -> int:
        """Bytes of all that it holds in memory."""
        return len(self.body) + (len(self.letter.body) if self.letter else 0)


class TakenCallbacks(Struct, frozen=True):
    """What a look at the outbox gave."""

    callbacks: list[OwedCallback]
    more: bool  # another look at once may give more
    left: bool  # others are due, for which there was no room


class Outbox:
    """The callbacks of one queue's tasks. Raises `StoreUnavailable` while the database is away."""

    def __init__(self, database: Database, queries: dict[str, Query], queue: str, clock: Clock) -> None:
        self._database = database
        self._queries = queries
        self._queue = queue
        self._quarantine = Quarantine(clock)  # callbacks, by their ids
        self._looked_at = ""  # the receiver where the last look ended

    async def take(self, lease: float, make_room: Callable[[], Room] = Unlimited) -> TakenCallbacks:
        """Callbacks that are due, for this caller alone until `lease` seconds are over; then they are due again.

        One receiver must not keep the others from theirs, however much is due for it: where more is due than one look
        sees, it goes on from receiver to receiver. What a look costs is bounded, however much is due.
        `make_room` may be called several times; what the last room gave counts.
        """
        return await self._quarantine.passing(
            lambda ask: self._database.transact(lambda connection: self._take(connection, ask, make_room(), lease))
        )

    async def _take(self, connection: Connection, ask: Ask, room: Room, lease: float) -> TakenCallbacks:
        asked = {"queue": self._queue, "limit": FIRST_LOOKED_AT, "aside": ask.aside}
        due = await connection.fetch(self._queries["due_callbacks"], asked)
        chosen = [row for row in _in_turn(due) if room.take(row["receiver"], row["size"])]
        all_seen = len(due) < FIRST_LOOKED_AT
        left = len(chosen) < len(due)
        if not all_seen:
            chosen += await self._others(connection, ask, room, {row["receiver"] for row in due})
        taken = []
        for row in chosen:
            ask.looking_at(row["id"], task_id=row["task_id"], callback_id=row["id"])
            if (one := await self._tried(connection, row, lease)) is not None:
                taken.append(one)
        return TakenCallbacks(
            taken, more=not all_seen and (bool(taken) or self._looked_at != ""), left=left or not all_seen
        )

    async def _others(self, connection: Connection, ask: Ask, room: Room, seen: set[str]) -> list[dict[str, Any]]:
        """One callback each for the next receivers in turn; one that has more rows than are looked at is passed by."""
        asked = {"after": self._looked_at, "limit": ROWS_LOOKED_AT}
        rows = await connection.fetch(self._queries["receivers"], asked)
        self._looked_at = rows[-1]["receiver"] if len(rows) == ROWS_LOOKED_AT else ""
        due = dict.fromkeys(row["receiver"] for row in rows if row["due"] and row["queue"] == self._queue)
        if self._looked_at:  # what it has due may be among the rows that were not looked at
            due[self._looked_at] = None
        return [
            row
            for receiver in due
            if receiver not in seen and room.has_room(receiver)
            for row in await self._first_of(connection, ask, receiver)
            if room.take(receiver, row["size"])
        ]

    async def _first_of(self, connection: Connection, ask: Ask, receiver: str) -> list[dict[str, Any]]:
        asked = {"queue": self._queue, "receiver": receiver, "aside": ask.aside}
        return await connection.fetch(self._queries["due_callback_of"], asked)

    async def _tried(self, connection: Connection, row: Mapping[str, Any], lease: float) -> OwedCallback | None:
        """The callback, if it is ours to try now."""
        key = {"task_id": row["task_id"], "rerun": row["rerun"]}
        if not await connection.execute(self._queries["try_callback"], {**key, "tries": row["tries"], "lease": lease}):
            return None
        (whole,) = await connection.fetch(self._queries["callback"], key)
        letter = await self._letter(connection, row["task_id"]) if whole["kind"] == LETTER else None
        trace = _trace(whole.pop("headers"))
        return OwedCallback(**{**whole, "body": whole["body"].encode("utf-8", "replace")}, letter=letter, trace=trace)

    async def _letter(self, connection: Connection, task_id: str) -> Message | None:
        rows = await connection.fetch(self._queries["message_of"], {"id": task_id})
        try:
            return produced(rows[0]) if rows else None
        except RowRejected:
            return None

    async def wait(self) -> float | None:
        """Seconds until the next callback is due, 0 or less when one is; None when none is owed."""
        asked = {"queue": self._queue, "aside": self._quarantine.ask().aside}
        rows = await self._database.fetch(self._queries["next_callback"], asked)
        return float(rows[0]["wait"]) if rows else None

    def leave_alone(self, callback: OwedCallback, problem: str) -> None:
        """Its row takes no word of what became of it: this process never sends it again."""
        hint = "mend it, or what refuses the change (a trigger?); the next worker that starts sends it again"
        fields = {"task_id": callback.task_id, "callback_id": callback.id, "error": problem}
        self._quarantine.rejected(callback.id, fields, inf, hint)

    async def delivered(self, callback: OwedCallback) -> bool:
        """It arrived. False when another sender has it by now."""
        return await self._write("callback_delivered", callback)

    async def failed(self, callback: OwedCallback, error: str, retry_in: float | None) -> bool:
        """It did not arrive: again in so many seconds, or None: given up, and kept for people to see and replay."""
        told = {"error": storable(error)[:ERROR_LIMIT], "dead": int(retry_in is None), "gap": retry_in, "spent": 1}
        return await self._write("callback_failed", callback, told)

    async def postponed(self, callback: OwedCallback, error: str, retry_in: float) -> bool:
        """It was not tried, for reasons that are not the receiver's: again in so many seconds, no try spent."""
        told = {"error": storable(error)[:ERROR_LIMIT], "dead": 0, "gap": retry_in, "spent": 0}
        return await self._write("callback_failed", callback, told)

    async def _write(self, query: str, callback: OwedCallback, params: Mapping[str, Any] | None = None) -> bool:
        key = {"task_id": callback.task_id, "rerun": callback.rerun, "tries": callback.tries}
        (changed,) = await self._database.batch([(self._queries[query], {**key, **(params or {})})])
        return bool(changed)

    # -- for people ---------------------------------------------------------------------------------------------------

    async def all(
        self,
        *,
        task_id: str | None = None,
        dead: bool | None = None,
        owed: bool = False,
        queue: str | None = None,
        limit: int = 100,
    ) -> list[CallbackRow]:
        """Callbacks, newest first; `dead` and `owed` choose those given up and those still to be sent, `queue` those of
        its tasks."""
        params = {
            "task_id": task_id,
            "dead": None if dead is None else int(dead),
            "open": 1 if owed else None,
            "queue": queue,
            "limit": limit,
        }
        return cast("list[CallbackRow]", await self._database.fetch(self._queries["callbacks"], params))

    async def named(self, task_or_callback_id: str) -> list[CallbackRow]:
        """Those of a task, or the one of this id, newest first."""
        rows = await self._database.fetch(self._queries["callbacks_named"], {"id": task_or_callback_id})
        return cast("list[CallbackRow]", rows)

    async def drop(self, task_or_callback_id: str) -> int:
        """Remove what is owed or was given up, for good; how many callbacks that are. A try that is under way may still
        arrive. What is owed to the dead letters is dropped by its own id alone."""
        found = [one for one in await self.named(task_or_callback_id) if _meant(one, task_or_callback_id)]
        return await self._drop(found, owed=True)

    async def drop_dead(self) -> int:
        """The same for all that were given up."""
        dropped = 0
        while found := await self.all(dead=True, limit=DROPPED_AT_ONCE):
            gone = await self._drop(found, owed=False)
            dropped += gone
            if len(found) < DROPPED_AT_ONCE or not gone:
                break
        return dropped

    async def _drop(self, found: list[CallbackRow], *, owed: bool) -> int:
        """By their keys: a DELETE that looks for them would lock all others."""
        keys = [{"task_id": one["task_id"], "rerun": one["rerun"], "id": one["id"], "owed": int(owed)} for one in found]
        return sum(await self._database.batch([(self._queries["drop_callback"], key) for key in keys])) if keys else 0

    async def replay(self, task_or_callback_id: str) -> int:
        """Send again, at once and with new tries, whatever became of it; how many callbacks that are."""
        (changed,) = await self._database.batch([(self._queries["replay_callback"], {"id": task_or_callback_id})])
        return changed

    async def replay_dead(self) -> int:
        """The same for all that were given up."""
        (changed,) = await self._database.batch([(self._queries["replay_dead_callbacks"], {})])
        return changed


def _meant(row: CallbackRow, id_: str) -> bool:
    return row["kind"] != LETTER or bool(row["dead"]) or row["id"] == id_


def _trace(properties: str | None) -> Trace | None:
    """Of a task's row; one that another program wrote may hold anything."""
    try:
        return Trace.of(wire.decode_properties(properties, b"").headers)
    except (ValueError, TypeError):
        return None


def _in_turn(due: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of each receiver before the second of any."""
    seen: Counter[str] = Counter()
    turns: list[tuple[int, dict[str, Any]]] = []
    for row in due:
        turns.append((seen[row["receiver"]], row))
        seen[row["receiver"]] += 1
    return [row for _, row in sorted(turns, key=lambda turn: turn[0])]


def receiver_of(callback: Callback) -> str:
    """Who is at the other end; without a comma, as older sidecars join them by it."""
    if callback.type != "http":
        return callback.type
    try:
        parts = urlsplit(callback.url or "")
        receiver = f"{parts.hostname or ''}:{parts.port or parts.scheme}"
    except ValueError:
        receiver = "?"  # it can be sent to nobody
    return receiver.replace(",", ".")[:255]


def owe(
    queries: Mapping[str, Query],
    queue: str,
    callback: Callback,
    task_id: str,
    attempt: int,
    end: Transition | Close,
    now: datetime,
    owed: OwedForm = WHOLE,
) -> tuple[Statement, ...]:
    """The statement that writes the callback of an end, to run after the end in the same transaction; none where
    nobody asked for it. It writes nothing unless the row has this end, and one row for each end."""
    if not (callback.wanted and end.status.terminal) or owed.form is CallbackForm.NOTHING:
        return ()
    given_up = owed.form is CallbackForm.GIVEN_UP
    body = "" if given_up else _body(callback, task_id, attempt, end, now)
    params = {
        "id": task_id,
        "attempt": attempt,
        "status": end.status.value,
        "callback_id": f"cb_{uuid4().hex}",
        "callback_body": body,
        "callback_size": len(body),
        "given_up": int(given_up),
        "problem": ascii_only(f"{NOT_STORED}: {owed.problem}", ERROR_LIMIT) if given_up else None,
        "queue": queue,
        "receiver": receiver_of(callback),
        # A refusal ends only a row of ours: one that another program failed looks the same, but has no queue.
        "refused": int(attempt == 0 and end.error_type == ErrorType.VALIDATION),
    }
    return ((queries["owe_callback"], params),)


def _body(callback: Callback, task_id: str, attempt: int, end: Transition | Close, now: datetime) -> str | wire.Spliced:
    try:
        return wire.encode_callback(
            task_id,
            end.status,
            result=end.result if isinstance(end, Transition) else None,
            error=end.error and storable(end.error),
            error_type=end.error_type and storable(end.error_type),
            last_error_type=end.last_error_type if isinstance(end, Transition) else None,
            attempts=attempt,
            callback_data=callback.data,
            moment=now,
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise RowRejected(f"no JSON value: {error}") from error
