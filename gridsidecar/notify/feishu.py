"""A card for the custom bots of Feishu and Lark."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from datetime import datetime
from typing import Any

from gridsidecar.notify import summary, truncation
from gridsidecar.notify.channel import NotAccepted
from gridsidecar.notify.digest import TRACE, Digest, Notice
from gridsidecar.notify.rendering import NoticeOrigin
from gridsidecar.notify.translations import Translations
from gridsidecar.outbound import HttpClient, Reply
from gridsidecar.rules.task import Status

JsonObject = dict[str, Any]
COLOURS = {Status.FAILED: "red", Status.RETRYING: "orange", Status.CANCELLED: "grey", Status.SUCCESS: "green"}
GAP = "\u200b"  # has no width; keeps two characters from meaning something together


class Feishu:
    """One bot's webhook."""

    def __init__(
        self, client: HttpClient, url: str, secret: str | None, origin: NoticeOrigin, words: Translations
    ) -> None:
        self._client = client
        self._url = url
        self._secret = secret
        self._origin = origin
        self._words = words

    async def send(self, digest: Digest, message_id: str, moment: datetime) -> NotAccepted | None:
        message = signed(card(digest, self._origin, self._words), self._secret, moment)
        body = json.dumps(message, ensure_ascii=False).encode()
        return problem_of(await self._client.post(self._url, body, {"content-type": "application/json; charset=utf-8"}))


def signed(content: JsonObject, secret: str | None, moment: datetime) -> JsonObject:
    """The whole message; with a secret, Feishu takes it for an hour."""
    message = {"msg_type": "interactive", "card": content}
    if not secret:
        return message
    timestamp = str(int(moment.timestamp()))
    return {"timestamp": timestamp, "sign": signature(secret, timestamp), **message}


def signature(secret: str, timestamp: str) -> str:
    """Feishu's scheme: time and secret are the key, and nothing is what they sign."""
    return base64.b64encode(hmac.digest(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256)).decode()


def problem_of(reply: Reply) -> NotAccepted | None:
    """Feishu says in the body whether it took the message: also a refused one may come with status 200."""
    try:
        said = json.loads(reply.text)
    except (ValueError, RecursionError):
        said = None
    said = said if isinstance(said, dict) else {}
    code = said.get("code", said.get("StatusCode"))
    if reply.status == 200 and code == 0:
        return None
    why = said.get("msg", said.get("StatusMessage")) or reply.text
    answer = f"HTTP {reply.status}" if code is None else f"HTTP {reply.status}, code {code}"
    return NotAccepted(f"{answer}: {truncation.line(str(why), 200) or 'an empty answer'}", reply.retry_after)


def card(digest: Digest, origin: NoticeOrigin, words: Translations) -> JsonObject:
    """A card of version 1. Text from tasks is plain text, except in the code block, where it is defused."""
    elements = _one(digest.notices[0], origin, words) if digest.count == 1 else _many(digest, origin, words)
    told = [*summary.breakers(digest, words), *summary.remarks(digest, words)]
    remarks = [_text(remark) for remark in told]
    return {
        "config": {"wide_screen_mode": True},
        "header": {
            "title": _plain(_title(digest, words)),
            "template": _colour(digest),
        },
        "elements": [*elements, *remarks],
    }


def _colour(digest: Digest) -> str:
    """The gravest of what happened."""
    if digest.count:
        return COLOURS[next(iter(digest.statuses))]
    return COLOURS[Status.FAILED if any(change.opened for change in digest.breakers) else Status.SUCCESS]


def _title(digest: Digest, words: Translations) -> str:
    told = digest.notices[0].subject if digest.count == digest.told == 1 else None
    return summary.headline(digest, words) if told is None else told


def _one(notice: Notice, origin: NoticeOrigin, words: Translations) -> list[JsonObject]:
    if notice.text is not None:
        return [_text(notice.text)]
    elements = [_fields(summary.facts(notice, origin, words))]
    error = summary.error(notice, words)
    trace = summary.trace(notice, words)
    if error:
        elements += [{"tag": "hr"}, _text(error)]
    if trace:
        label, text = trace
        elements += [_text(label), {"tag": "markdown", "content": f"```\n{_defused(text)}\n```"}]
    return elements


def _many(digest: Digest, origin: NoticeOrigin, words: Translations) -> list[JsonObject]:
    if not digest.count:
        return [_fields(summary.place(origin, words))]
    return [
        _fields(summary.place(origin, words)),
        _text("\n".join(summary.tally(digest, words))),
        {"tag": "hr"},
        _text(summary.first_tasks(digest, words)),
    ]


def _fields(facts: list[summary.Fact]) -> JsonObject:
    return {
        "tag": "div",
        "fields": [{"is_short": True, "text": _plain(f"{label}\n{value}")} for label, value in facts],
    }


def _text(text: str) -> JsonObject:
    return {"tag": "div", "text": _plain(text)}


def _plain(text: str) -> JsonObject:
    return {"tag": "plain_text", "content": text}


def _defused(text: str) -> str:
    """Inside a code block: nothing closes it, and nothing is a tag such as `<at id=all>`."""
    return truncation.tail(re.sub(r"`(?=`)|<(?=[A-Za-z/])", rf"\g<0>{GAP}", text), TRACE)
