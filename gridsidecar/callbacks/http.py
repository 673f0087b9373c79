"""Callbacks by HTTP: a signed POST, and what the answer means."""

from __future__ import annotations

from contextlib import suppress

from gridsidecar import wire
from gridsidecar.callbacks import Delivered, Hopeless, NotDelivered, SenderUnavailable, SendResult
from gridsidecar.clock import Clock
from gridsidecar.config.settings import CallbackSettings
from gridsidecar.outbound import EgressPolicy, HttpClient, NotSent, NotTried, Reply, TargetRefused, signed_headers
from gridsidecar.store import OwedCallback

GONE = 410
NOT_TRIED_PAUSE = 5.0  # seconds
ANSWER_SHOWN = 200  # characters of an answer that is told


class HttpSender:
    """Posts the body to the task's `callback_url`. Only 2xx is a success; redirects are not followed."""

    def __init__(self, settings: CallbackSettings, clock: Clock) -> None:
        self._secret = settings.signing_secret
        self._clock = clock
        self._client = HttpClient(settings.timeout, EgressPolicy(tuple(settings.allow), settings.block_private))

    async def prepare(self) -> None:
        with suppress(NotSent):  # then the try says why
            await self._client.open()

    async def send(self, callback: OwedCallback) -> SendResult:
        if not callback.url:
            return Hopeless("callback_type is http, but there is no callback_url")
        if wire.is_unusable_url(callback.url):
            return Hopeless("callback_url has more than 500 characters: no row keeps it whole")
        body = wire.sent_callback(callback.body)
        headers = {
            "content-type": "application/json",
            **({} if callback.trace is None else callback.trace.headers()),
            **signed_headers(self._secret, callback.id, body, self._clock.now()),
        }
        try:
            return _meaning(await self._client.post(callback.url, body, headers))
        except TargetRefused as error:
            return Hopeless(str(error))
        except NotTried as error:
            return SenderUnavailable(str(error), retry_in=NOT_TRIED_PAUSE)
        except NotSent as error:
            return NotDelivered(str(error))

    async def close(self) -> None:
        await self._client.close()


def _meaning(reply: Reply) -> SendResult:
    if 200 <= reply.status < 300:
        return Delivered()
    if reply.status == GONE:
        return Hopeless("the receiver answered 410 Gone: it wants no more callbacks")
    answer = " ".join(reply.text[:ANSWER_SHOWN].split())
    if 300 <= reply.status < 400:
        answer = "a redirect, which is not followed: name its target in callback_url"
    return NotDelivered(f"the receiver answered {reply.status}{f': {answer}' if answer else ''}", reply.retry_after)
