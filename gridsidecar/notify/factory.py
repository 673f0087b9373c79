"""From the configuration to what takes the notices of each channel."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from email.utils import parseaddr
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from gridsidecar.clock import Clock
from gridsidecar.config.addresses import Allowed
from gridsidecar.config.notices import NoticeSettings
from gridsidecar.config.template import parse
from gridsidecar.language import translator
from gridsidecar.notify.channel import Channel
from gridsidecar.notify.dispatcher import Arrival, Dispatcher
from gridsidecar.notify.email import Email
from gridsidecar.notify.feishu import Feishu
from gridsidecar.notify.notifier import Listener, NoticeRoute, Notifier
from gridsidecar.notify.personal import Personal
from gridsidecar.notify.receivers import Receivers
from gridsidecar.notify.rendering import NoticeOrigin, Wording
from gridsidecar.notify.translations import LANGUAGES, Translations
from gridsidecar.notify.webhook import Webhook
from gridsidecar.outbound import HttpClient
from gridsidecar.outbound.mail import MailClient

TRY_LIMIT = 10.0  # seconds
AT_ONCE = 4  # mails under way to people whom tasks name


def notifier_of(
    channels: Sequence[NoticeSettings], origin: NoticeOrigin, language: str, clock: Clock, rng: random.Random
) -> Notifier:
    """A dispatcher for each channel."""
    client = HttpClient(TRY_LIMIT, None, clock=clock)  # the URLs are the operator's own
    words = replace(LANGUAGES[language], translate=translator(language))
    make = Making(client, origin, words, clock, rng)
    routes = [
        NoticeRoute(
            frozenset(settings.on), frozenset(settings.task_types), make.listeners(f"notify[{index}]", settings)
        )
        for index, settings in enumerate(channels)
    ]
    return Notifier(routes, client)


class Making(Struct, frozen=True):
    """What all channels are made of. The check of the configuration has seen to it that each has what it needs."""

    client: HttpClient
    origin: NoticeOrigin
    words: Translations
    clock: Clock
    rng: random.Random

    def listeners(self, name: str, settings: NoticeSettings) -> list[Listener]:
        url = settings.url or ""
        match settings.type:
            case "email":
                return self._by_mail(name, settings)
            case "feishu":
                return self._by_http(name, settings, Feishu(self.client, url, settings.secret, self.origin, self.words))
            case "webhook":
                return self._by_http(name, settings, Webhook(self.client, url, settings.secret, self.origin))
            case _:
                assert_never(settings.type)

    def _by_http(self, name: str, settings: NoticeSettings, channel: Channel) -> list[Listener]:
        return [self._dispatcher(Arrival(name), settings, channel)]

    def _by_mail(self, name: str, settings: NoticeSettings) -> list[Listener]:
        """One dispatcher to those who get all of it, and one to each of those whom tasks name."""
        mail = MailClient(settings.smtp_url or "", TRY_LIMIT)
        sender = settings.sender or ""
        arrival = Arrival(name)
        to = [parse(entry) for entry in settings.to]
        fixed = [entry.fill(str) for entry in to if not entry.has_fields]
        named = [entry for entry in to if entry.has_fields]
        listeners: list[Listener] = []
        if fixed:
            listeners.append(self._dispatcher(arrival, settings, Email(mail, sender, fixed, self.origin, self.words)))
        if named:
            turns = asyncio.Semaphore(AT_ONCE)

            def dispatcher_to(address: str) -> Dispatcher:
                channel = Email(mail, sender, [address], self.origin, self.words, turns)
                return self._dispatcher(arrival, settings, channel, stays=False)

            receivers = Receivers(name, named, Allowed.read(settings.allow_to), self.clock)
            most = settings.max_recipients
            known = {parseaddr(entry)[1] for entry in fixed}
            listeners.append(
                Personal(name, receivers, dispatcher_to, fixed=known, origin=self.origin, most=most, clock=self.clock)
            )
        return listeners

    def _dispatcher(
        self, arrival: Arrival, settings: NoticeSettings, channel: Channel, *, stays: bool = True
    ) -> Dispatcher:
        subject, text = (None if one is None else parse(one) for one in (settings.subject, settings.text))
        wording = Wording(origin=self.origin, subject=subject, text=text)
        return Dispatcher(
            arrival,
            channel,
            wording=wording,
            interval=settings.interval,
            stays=stays,
            clock=self.clock,
            rng=self.rng,
        )
