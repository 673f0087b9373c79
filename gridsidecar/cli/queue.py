"""`gridsidecar queue-info` and `gridsidecar purge-queue`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gridsidecar.cli.run import ConfigFile, Url, UrlFile, url_flag
from gridsidecar.errors import EX_FAILED

if TYPE_CHECKING:
    from gridsidecar.broker import QueueInfo
    from gridsidecar.config.settings import BrokerSettings

Queue = Annotated[str | None, typer.Option("-q", "--queue", help="broker.queue")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]

INFO_EPILOG = """
Exit codes: 0, 1 there is no such queue, 69 the broker is away, 77 it refused, 78 configuration.
"""
PURGE_EPILOG = """
Exit codes: 0, 1 there is no such queue or the answer was no, 64 usage, 69 the broker is away, 77 it refused,
78 configuration, 130 Ctrl-C.
"""


def queue_info(
    config: ConfigFile = None,
    url: Url = None,
    url_file: UrlFile = None,
    queue: Queue = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; null is what the broker cannot tell.")] = False,
) -> None:
    """Count the messages that wait: ready, delayed and dead; and who consumes. Changes nothing."""
    from gridsidecar.cli.screen import json_text
    from gridsidecar.shapes import queue_object

    settings = _settings(config, url_flag(url, url_file), queue)
    info = asyncio.run(_info(settings))
    if as_json:
        print(json_text(queue_object(info, settings)))
    elif info.exists or info.delayed or info.dead:
        _print(info, settings)
    if not info.exists:
        _say_missing(settings)
        raise typer.Exit(EX_FAILED)


def purge_queue(
    config: ConfigFile = None,
    url: Url = None,
    url_file: UrlFile = None,
    queue: Queue = None,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove every message that waits in the queue. There is no way back.

    Delayed and dead messages stay, and so does what a worker has in hand. A task that was begun before is brought back
    by a worker: its row knows it.
    """
    from gridsidecar.cli.screen import agreed, json_text, must_ask, say

    ask = must_ask(yes, "purge-queue")
    settings = _settings(config, url_flag(url, url_file), queue)
    info = asyncio.run(_info(settings))
    if not info.exists:
        _say_missing(settings)
        raise typer.Exit(EX_FAILED)
    say(_what_goes(info, settings))
    if ask and info.ready and not agreed("remove for good?"):
        raise typer.Exit(EX_FAILED)
    removed = asyncio.run(_purge(settings))
    if as_json:
        print(json_text({"queue": settings.queue, "removed": removed}))
    say(f"removed {_messages(removed)}")


def _what_goes(info: QueueInfo, settings: BrokerSettings) -> str:
    waits = "waits" if info.ready == 1 else "wait"
    text = f"{_messages(info.ready)} {waits} in {info.queue} on {_place(settings)}"
    delayed = sum(info.delayed.values())
    return f"{text}; {delayed:,} delayed and {info.dead:,} dead stay" if delayed or info.dead else text


def _messages(count: int) -> str:
    return f"{count:,} message{'' if count == 1 else 's'}"


async def _info(settings: BrokerSettings) -> QueueInfo:
    from gridsidecar.cli.parts import connected

    async with connected(settings) as broker:
        return await broker.info()


async def _purge(settings: BrokerSettings) -> int:
    from gridsidecar.cli.parts import connected

    async with connected(settings) as broker:
        return await broker.purge()


def _settings(config: str | None, url: object, queue: str | None) -> BrokerSettings:
    from gridsidecar.cli.parts import load_parts

    return load_parts(config, "broker", flags={"broker.url": url, "broker.queue": queue}).broker


def _place(settings: BrokerSettings) -> str:
    from gridsidecar.cli.parts import place_of

    return ", ".join(map(place_of, settings.urls))


def _say_missing(settings: BrokerSettings) -> None:
    from gridsidecar.cli.screen import say

    say(f"no queue {settings.queue} on {_place(settings)}; a worker or a producer creates it")


def _print(info: QueueInfo, settings: BrokerSettings) -> None:
    from gridsidecar.cli.listing import print_facts
    from gridsidecar.cli.screen import clean

    print_facts(
        [
            ("queue", clean(f"{info.queue} on {_place(settings)}")),
            ("ready", f"{info.ready:,}"),
            ("in hand", _known(info.unsettled)),
            ("consumers", _known(info.consumers)),
            ("delayed", _delayed(info)),
            ("dead", f"{info.dead:,} in {clean(settings.dead_letters)}"),
        ]
    )


def _known(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,}"


def _delayed(info: QueueInfo) -> str:
    from gridsidecar.cli.task_words import span

    waiting = [(seconds, count) for seconds, count in info.delayed.items() if count]
    if not waiting:
        return "0"
    parts = ", ".join(f"{count:,} for up to {span(seconds)}" for seconds, count in waiting)
    return f"{sum(count for _, count in waiting):,}: {parts}"
