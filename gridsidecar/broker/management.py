"""RabbitMQ's management API: what AMQP does not tell of a queue. Only asked, never told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from yarl import URL

from gridsidecar.config.settings import BrokerSettings
from gridsidecar.errors import AccessRefused, BrokerUnavailable
from gridsidecar.outbound import HttpClient, NotSent, TargetRefused

TIMEOUT = 3.0  # seconds for one question
_COLUMNS = (
    *("name", "type", "durable", "auto_delete", "exclusive", "arguments", "policy", "effective_policy_definition"),
    *("messages", "messages_unacknowledged", "consumers"),
)


class NoSuchQueue(BrokerUnavailable):
    """The API answers and knows no such queue."""


class ManagedQueue(Struct, frozen=True, kw_only=True):
    """A queue as the API shows it. None of `messages` and `unsettled`: it has no figures, not even a zero."""

    kind: str  # classic | quorum | stream
    durable: bool
    auto_delete: bool
    exclusive: bool
    arguments: Mapping[str, Any]
    policy: Mapping[str, Any]  # what a policy says, by its own names: delivery-limit
    messages: int | None
    unsettled: int | None


class Management:
    """Each question is answered within TIMEOUT, or raises BrokerUnavailable or AccessRefused. To be closed."""

    def __init__(self, settings: BrokerSettings) -> None:
        assert settings.management_url is not None
        self._queue = settings.queue
        self._base = _with_login(URL(settings.management_url), URL(settings.urls_now[0]))
        self.where = f"{self._base.host}:{self._base.port}"
        self.vhost = virtual_host(settings.urls[0])
        self._client = HttpClient(TIMEOUT, None)

    async def open(self) -> None:
        """Load what the first question needs: that takes a while, and is not the other side's fault."""
        with suppress(NotSent):  # then the question says why
            await self._client.open()

    async def close(self) -> None:
        await self._client.close()

    async def queue(self) -> ManagedQueue:
        """The work queue. Raises NoSuchQueue."""
        columns = ",".join(_COLUMNS)
        found = await self._ask(f"queues/{_quoted(self.vhost)}/{_quoted(self._queue)}?columns={columns}")
        if found is None:
            raise NoSuchQueue(
                f"the management API at {self.where} knows no queue {self._queue!r} in the virtual host {self.vhost!r}"
            )
        return ManagedQueue(
            kind=str(found.get("type", "classic")),
            durable=found.get("durable") is not False,
            auto_delete=found.get("auto_delete") in (True, "true"),
            exclusive=found.get("exclusive") in (True, "true"),
            arguments=_table(found.get("arguments")),
            policy=_table(found.get("effective_policy_definition")),
            messages=_count(found.get("messages")),
            unsettled=_count(found.get("messages_unacknowledged")),
        )

    async def counts(self) -> bool:
        """Whether it gathers figures at all."""
        found = await self._ask("overview?columns=disable_stats")
        return found is None or found.get("disable_stats") is not True

    async def _ask(self, path: str) -> dict[str, Any] | None:
        """None: there is no such thing."""
        url = f"{str(self._base).rstrip('/')}/api/{path}"
        try:
            reply = await self._client.get(url, {"accept": "application/json"})
        except (NotSent, TargetRefused) as error:
            raise BrokerUnavailable(f"the management API: {error}") from error
        if reply.status == 404 and "Object Not Found" in reply.text:
            return None
        if reply.status in (401, 403):
            raise AccessRefused(
                f"the management API at {self.where} refused the login ({reply.status}): check the user, and give it "
                "the tag management"
            )
        try:
            found = json.loads(reply.text) if reply.status == 200 else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise BrokerUnavailable(
                f"what answers at {self.where} with {reply.status} is not the management API: broker.management_url is "
                "its address without a virtual host, as in http://user:password@host:15672"
            )
        return found


def virtual_host(url: str) -> str:
    """The one that an AMQP URL names."""
    path = URL(url).path  # decoded
    return path[1:] or "/"


def _with_login(address: URL, broker: URL) -> URL:
    if address.user is None and broker.user is not None:
        return address.with_user(broker.user).with_password(broker.password)
    return address


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}  # the API writes an empty one as []


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
