"""A program that publishes the wall clock's time on each line it reads: `python -m tests.broker.ring SETTINGS`."""

from __future__ import annotations

import asyncio
import sys
import time

from gridsidecar.config.settings import BrokerSettings
from gridsidecar.rules.task import Message
from tests.broker.bench import opened


async def main(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        print("ready", flush=True)
        while sys.stdin.readline():
            await broker.publish(Message(body=str(time.time()).encode()))


if __name__ == "__main__":
    asyncio.run(main(BrokerSettings.model_validate_json(sys.argv[1])))
