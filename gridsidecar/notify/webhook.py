"""A JSON object for programs, signed as Standard Webhooks say."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gridsidecar import wire
from gridsidecar.notify import truncation
from gridsidecar.notify.channel import NotAccepted
from gridsidecar.notify.digest import Digest, Notice
from gridsidecar.notify.rendering import NoticeOrigin
from gridsidecar.outbound import HttpClient, signed_headers
from gridsidecar.rules.flow import BreakerChange

JsonObject = dict[str, Any]


class Webhook:
    """One URL that takes notices."""

    def __init__(self, client: HttpClient, url: str, secret: str | None, origin: NoticeOrigin) -> None:
        self._client = client
        self._url = url
        self._secret = secret
        self._origin = origin

    async def send(self, digest: Digest, message_id: str, moment: datetime) -> NotAccepted | None:
        body = wire.data_json(message(digest, self._origin, moment)).encode()
        try:
            headers = signed_headers(self._secret, message_id, body, moment)
        except ValueError as error:
            return NotAccepted(str(error))
        reply = await self._client.post(self._url, body, {"content-type": "application/json", **headers})
        if 200 <= reply.status < 300:
            return None
        return NotAccepted(
            f"HTTP {reply.status}: {truncation.line(reply.text, 200)}".removesuffix(": "), reply.retry_after
        )


def message(digest: Digest, origin: NoticeOrigin, moment: datetime) -> JsonObject:
    """One object for one task or many; `type` is `task.digest` where their statuses differ, and of a breaker
    where it is all that happened."""
    return {
        "type": _type(digest),
        "timestamp": _iso(moment),
        "queue": origin.queue,
        "worker": origin.worker,
        "tasks": [_task(notice) for notice in digest.notices],
        "more": digest.more,
        "counts": [
            {"status": kind.status.value, "task_type": kind.task_type, "error_type": kind.error_type, "count": count}
            for kind, count in digest.kinds.most_common()
        ],
        "undelivered": digest.undelivered,
        **({"breakers": [_breaker(change) for change in digest.breakers]} if digest.breakers else {}),
    }


def _breaker(change: BreakerChange) -> JsonObject:
    return {
        "task_type": change.task_type,
        "state": "open" if change.opened else "closed",
        "failures": change.failures,
        "cool_down_s": change.cool_down,
        "error": change.error or None,
    }


def _type(digest: Digest) -> str:
    statuses = digest.statuses
    if not statuses:
        return "breaker.opened" if digest.breakers[-1].opened else "breaker.closed"
    return f"task.{next(iter(statuses))}" if len(statuses) == 1 else "task.digest"


def _task(notice: Notice) -> JsonObject:
    own = {"subject": notice.subject, "text": notice.text}
    return {name: text for name, text in own.items() if text is not None} | {
        "task_id": notice.task_id,
        "task_type": notice.task_type,
        "status": notice.status.value,
        "timestamp": _iso(notice.moment),
        "attempt": notice.attempt,
        "attempts_allowed": notice.attempts_allowed,
        "duration_s": None if notice.duration is None else round(notice.duration, 3),
        "retry_in_s": notice.retry_in,
        "error": notice.error,
        "error_type": notice.error_type,
        "last_error_type": notice.last_error_type,
        "traceback": notice.traceback,
        "stderr_tail": notice.stderr_tail,
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
