"""All channels of the configuration."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from gridsidecar.clock import Clock
from gridsidecar.config.settings import NoticeSettings
from gridsidecar.flow import BreakerChange
from gridsidecar.notify.channel import Channel
from gridsidecar.notify.courier import Courier
from gridsidecar.notify.digest import Origin
from gridsidecar.notify.email import Email
from gridsidecar.notify.feishu import Feishu
from gridsidecar.notify.webhook import Webhook
from gridsidecar.notify.words import LANGUAGES, Words
from gridsidecar.outbound import HttpClient
from gridsidecar.outbound.mail import MailClient
from gridsidecar.task import TaskUpdate

TRY_LIMIT = 10.0  # seconds


class Notifier:
    """Hears of every task, and tells the channels that want to know. Best effort: a crash loses what waits."""

    def __init__(self, couriers: Sequence[Courier], client: HttpClient) -> None:
        self._couriers = couriers
        self._client = client

    def hear(self, update: TaskUpdate) -> None:
        """A listener of the worker: it neither waits nor raises."""
        for courier in self._couriers:
            courier.hear(update)

    def hear_breaker(self, change: BreakerChange) -> None:
        """A type was paused, or goes on."""
        for courier in self._couriers:
            courier.hear_breaker(change)

    async def close(self, limit: float) -> None:
        """Send what waits, one message a channel, for `limit` seconds at most."""
        await asyncio.gather(*(courier.close(limit) for courier in self._couriers))
        await self._client.close()


def make_notifier(
    channels: Sequence[NoticeSettings], origin: Origin, language: str, clock: Clock, rng: random.Random
) -> Notifier:
    """A courier for each channel; nothing runs before the first notice."""
    client = HttpClient(TRY_LIMIT, None, clock=clock)  # the URLs are the operator's own
    words = LANGUAGES[language]
    couriers = [
        Courier(
            f"notify[{index}]",
            _channel(settings, client, origin, words),
            on=frozenset(settings.on),
            task_types=frozenset(settings.task_types),
            interval=settings.interval,
            clock=clock,
            rng=rng,
        )
        for index, settings in enumerate(channels)
    ]
    return Notifier(couriers, client)


def _channel(settings: NoticeSettings, client: HttpClient, origin: Origin, words: Words) -> Channel:
    """The check of the configuration has seen to it that each has what it needs."""
    match settings.type:
        case "feishu":
            return Feishu(client, settings.url or "", settings.secret, origin, words)
        case "webhook":
            return Webhook(client, settings.url or "", settings.secret, origin)
        case "email":
            mail = MailClient(settings.smtp_url or "", TRY_LIMIT)
            return Email(mail, settings.sender or "", settings.to, origin, words)
