"""A mail in plain text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime

from gridsidecar import telemetry
from gridsidecar.notify import summary, truncation
from gridsidecar.notify.channel import NotAccepted
from gridsidecar.notify.digest import Digest, Notice
from gridsidecar.notify.rendering import NoticeOrigin
from gridsidecar.notify.translations import Translations
from gridsidecar.outbound.mail import Mail, MailClient, ReceiversRefused

SUBJECT = 150  # bytes


class Email:
    """One list of receivers. With `turns` it waits for its turn among others, and takes no for an answer."""

    def __init__(
        self,
        client: MailClient,
        sender: str,
        to: Iterable[str],
        origin: NoticeOrigin,
        words: Translations,
        turns: asyncio.Semaphore | None = None,
    ) -> None:
        self._turns = turns
        self._client = client
        self._sender = sender
        self._to = tuple(to)
        self._origin = origin
        self._words = words

    async def send(self, digest: Digest, message_id: str, moment: datetime) -> NotAccepted | None:
        mail = Mail(
            message_id=message_id,
            moment=moment,
            sender=self._sender,
            to=self._to,
            subject=subject(digest, self._origin, self._words),
            text=text(digest, self._origin, self._words),
        )
        if self._turns is None:
            await self._client.send(mail)
            return None
        async with self._turns:
            try:
                await self._client.send(mail)
            except ReceiversRefused as error:
                if not error.final:
                    raise
                telemetry.warning("the mail server refused a receiver", to=", ".join(self._to), reason=error.answer)
                return NotAccepted(error.answer, final=True)
        return None


def subject(digest: Digest, origin: NoticeOrigin, words: Translations) -> str:
    """One line: the queue, and what happened there; or what the operator says of one task."""
    if digest.count == 1 and digest.notices[0].subject is not None:
        return digest.notices[0].subject
    return truncation.line(f"[{origin.queue}] {summary.headline(digest, words)}", SUBJECT)


def text(digest: Digest, origin: NoticeOrigin, words: Translations) -> str:
    """The mail's body."""
    blocks = _one(digest.notices[0], origin, words) if digest.count == 1 else _many(digest, origin, words)
    return "\n\n".join([*blocks, *summary.breakers(digest, words), *summary.remarks(digest, words)]) + "\n"


def _one(notice: Notice, origin: NoticeOrigin, words: Translations) -> list[str]:
    if notice.text is not None:
        return [notice.text]
    error = summary.error(notice, words)
    trace = summary.trace(notice, words)
    blocks = [_facts(summary.facts(notice, origin, words), words)]
    if error:
        blocks.append(error)
    if trace:
        blocks.append(f"{trace[0]}{words.colon.rstrip()}\n{trace[1]}")
    return blocks


def _many(digest: Digest, origin: NoticeOrigin, words: Translations) -> list[str]:
    if not digest.count:
        return [_facts(summary.place(origin, words), words)]
    return [
        summary.headline(digest, words),
        _facts(summary.place(origin, words), words),
        "\n".join(summary.tally(digest, words)),
        summary.first_tasks(digest, words),
    ]


def _facts(facts: list[summary.Fact], words: Translations) -> str:
    return "\n".join(f"{label}{words.colon}{value}" for label, value in facts)
