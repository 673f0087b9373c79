"""What commands use of the product that is not a whole sidecar: a part of its settings, a broker for one errand."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

from gridsidecar.cli.run import config_file

if TYPE_CHECKING:
    from gridsidecar.broker import Broker
    from gridsidecar.config.settings import BrokerSettings, Settings

Part = Literal["broker", "store", "handlers"]

# Never opened or started: they stand where a command asks for nothing.
_STAND_INS: dict[Part, tuple[str, object]] = {
    "broker": ("broker.url", "sqlite:///not-used.db"),
    "store": ("store.url", "sqlite:///not-used.db"),
    "handlers": ("handlers.default.command", ["true"]),
}


def load_parts(config: str | None, *needed: Part, flags: dict[str, object] | None = None) -> Settings:
    """Settings of which only the `needed` parts mean anything: a producer knows no handlers, `exec` no servers."""
    from gridsidecar import telemetry
    from gridsidecar.config.load import load

    telemetry.configure("WARNING", "console")
    stand_ins = dict(pair for part, pair in _STAND_INS.items() if part not in needed)
    settings = load(config_file(config), overrides=stand_ins | (flags or {}), environ=os.environ)
    telemetry.configure("WARNING", "console", language=settings.log.language)
    return settings


@asynccontextmanager
async def connected(settings: BrokerSettings) -> AsyncIterator[Broker]:
    """A broker for one errand; it connects when it is first asked."""
    from gridsidecar.broker import make_broker
    from gridsidecar.telemetry import Readiness

    broker = make_broker(settings, Readiness())
    try:
        yield broker
    finally:
        await broker.close()


def place_of(url: str) -> str:
    """A store or broker as people know it, without its password."""
    from gridsidecar.config.secrets import masked_text

    return masked_text(url)
