"""Channels to servers of the test, as the daemon makes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gridsidecar.clock import SystemClock, system_random
from gridsidecar.config.notices import NoticeSettings
from gridsidecar.notify import Notifier, make_notifier
from tests.notify.updates import ORIGIN
from tests.support.web import Web

LONG = 3600.0  # seconds; an interval that no test sees the end of


@asynccontextmanager
async def notifier(*channels: dict[str, Any], language: str = "en") -> AsyncIterator[Notifier]:
    """Closed at the end, as on the way out of the daemon."""
    settings = [NoticeSettings(**channel) for channel in channels]
    made = make_notifier(settings, ORIGIN, language, SystemClock(), system_random())
    try:
        yield made
    finally:
        await made.close(5)


def feishu(web: Web, **fields: Any) -> dict[str, Any]:
    return {"type": "feishu", "url": f"{web.url}/open-apis/bot/v2/hook/key", **fields}


def webhook(web: Web, **fields: Any) -> dict[str, Any]:
    return {"type": "webhook", "url": f"{web.url}/notices", **fields}
