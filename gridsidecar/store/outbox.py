"""Callbacks owed: written with a task's end, taken by whoever sends them, until they are delivered or given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from gridsidecar import telemetry, wire
from gridsidecar.lifecycle import Close
from gridsidecar.store.database import Connection, Database, RowRejected, Statement, T
from gridsidecar.store.queries import Query
from gridsidecar.store.records import ascii_only, storable
from gridsidecar.task import Callback, ErrorType, Transition

ERROR_LIMIT = 2000  # characters
NOT_STORED = "the database would not store it"


class Owing(StrEnum):
    """How the callback of an end is written."""

    WHOLE = "whole"
    GIVEN_UP = "given up"  # without its body, for people to see
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Owed:
    """How, and why not better."""

    form: Owing = Owing.WHOLE
    problem: str = ""


WHOLE = Owed()


async def owing(task_id: str, end: Callable[[Owed], Awaitable[T]]) -> T:
    """Run a transaction that may end a task without an attempt. Where the database will not store its callback, that
    is given up, the end is not."""
    problem = ""
    for form in Owing:
        try:
            ended = await end(Owed(form, problem))
        except RowRejected as error:
            problem = problem or str(error)
            last = error
        else:
            if problem:
                telemetry.error("callback given up", task_id=task_id, error=f"{NOT_STORED}: {problem}")
            return ended
    raise last


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedCallback:
    """One callback in the hands of a sender. `id` is the same at every try; `tries` fences what is written about it."""

    task_id: str
    rerun: int
    id: str
    attempt: int
    kind: str  # http | rabbitmq
    url: str | None
    receiver: str  # who is at the other end, as far as slowness goes: a host and port, or RabbitMQ
    body: str
    tries: int
    failures: int  # tries that failed; one that died with its sidecar is none


@dataclass(frozen=True, slots=True)
class Taken:
    """What a look at the outbox gave; `more`: others are due as well."""

    callbacks: list[OwedCallback]
    more: bool


class Outbox:
    """The callbacks of one queue's tasks. Raises `StoreUnavailable` while the database is away."""

    def __init__(self, database: Database, queries: dict[str, Query], queue: str) -> None:
        self._database = database
        self._queries = queries
        self._queue = queue

    async def take(self, limit: int, lease: float, room: Callable[[str], int], busy: Iterable[str] = ()) -> Taken:
        """Callbacks that are due, for this caller alone until `lease` seconds are over; then they are due again.

        `room` says how many a receiver may still get, `busy` names those that may get none: one that is slow must
        not keep the others from theirs.
        """
        asked = {"limit": limit, "queue": self._queue, "busy": ",".join(busy)}

        async def take(connection: Connection) -> Taken:
            due = await connection.fetch(self._queries["due_callbacks"], asked)
            taken: list[OwedCallback] = []
            given: Counter[str] = Counter()
            for row in due:
                if given[row["receiver"]] >= room(row["receiver"]):
                    continue
                key = {"task_id": row["task_id"], "rerun": row["rerun"]}
                if await connection.execute(
                    self._queries["try_callback"], {**key, "tries": row["tries"], "lease": lease}
                ):
                    given[row["receiver"]] += 1
                    (whole,) = await connection.fetch(self._queries["callback"], key)
                    taken.append(OwedCallback(**whole))
            return Taken(taken, more=len(due) == limit or len(taken) < len(due))

        return await self._database.transact(take)

    async def wait(self) -> float | None:
        """Seconds until the next callback is due, 0 or less when one is; None when none is owed."""
        (row,) = await self._database.fetch(self._queries["next_callback"], {"queue": self._queue})
        return None if row["wait"] is None else float(row["wait"])

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
        self, *, task_id: str | None = None, dead: bool | None = None, owed: bool = False, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Callbacks, newest first; `dead` and `owed` choose those given up and those still to be sent."""
        params = {
            "task_id": task_id,
            "dead": None if dead is None else int(dead),
            "open": 1 if owed else None,
            "limit": limit,
        }
        return await self._database.fetch(self._queries["callbacks"], params)

    async def replay(self, task_or_callback_id: str) -> int:
        """Send again, at once and with new tries, whatever became of it; how many callbacks that are."""
        (changed,) = await self._database.batch([(self._queries["replay_callback"], {"id": task_or_callback_id})])
        return changed

    async def replay_dead(self) -> int:
        """The same for all that were given up."""
        (changed,) = await self._database.batch([(self._queries["replay_dead_callbacks"], {})])
        return changed


def receiver_of(callback: Callback) -> str:
    """Without a comma: lists of receivers are joined by it."""
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
    owed: Owed = WHOLE,
) -> tuple[Statement, ...]:
    """The statement that writes the callback of an end, to run after the end in the same transaction; none where
    nobody asked for it. It writes nothing unless the row has this end, and one row for each end."""
    if not (callback.wanted and end.status.terminal) or owed.form is Owing.NOTHING:
        return ()
    given_up = owed.form is Owing.GIVEN_UP
    params = {
        "id": task_id,
        "attempt": attempt,
        "status": end.status.value,
        "callback_id": f"cb_{uuid4().hex}",
        "callback_body": "" if given_up else _body(callback, task_id, attempt, end, now),
        "given_up": int(given_up),
        "problem": ascii_only(f"{NOT_STORED}: {owed.problem}", ERROR_LIMIT) if given_up else None,
        "queue": queue,
        "receiver": receiver_of(callback),
        # A refusal ends only a row of ours: one that another program failed looks the same, but has no queue.
        "refused": int(attempt == 0 and end.error_type == ErrorType.VALIDATION),
    }
    return ((queries["owe_callback"], params),)


def _body(callback: Callback, task_id: str, attempt: int, end: Transition | Close, now: datetime) -> str:
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
