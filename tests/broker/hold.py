"""A program that takes messages and holds them until it is killed: `python -m tests.broker.hold SETTINGS PREFETCH`."""

from __future__ import annotations

import asyncio
import sys

from gridsidecar.broker import Delivery
from gridsidecar.config.settings import BrokerSettings
from tests.broker.bench import opened


async def main(settings: BrokerSettings, prefetch: int) -> None:
    def hold(_: Delivery) -> None:
        print("held", flush=True)

    async with opened(settings) as broker:
        await broker.consume(hold, prefetch)


if __name__ == "__main__":
    asyncio.run(main(BrokerSettings.model_validate_json(sys.argv[1]), int(sys.argv[2])))
