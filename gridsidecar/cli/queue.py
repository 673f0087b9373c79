"""`gridsidecar queue-info` and `gridsidecar purge-queue`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gridsidecar.cli.config_options import ConfigFile, Url, UrlFile, url_flag
from gridsidecar.cli.server import ServerOption, where
from gridsidecar.errors import EX_FAILED
from gridsidecar.language import counted, translated
from gridsidecar.language.quoting import theirs

if TYPE_CHECKING:
    from gridsidecar.config.settings import BrokerSettings, Settings
    from gridsidecar.fleet import Where
    from gridsidecar.views import QueueView

QueueOption = Annotated[str | None, typer.Option("-q", "--queue", help="broker.queue")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]

QUEUE_INFO_EPILOG = """
Exit codes: 0, 1 there is no such queue, 69 the broker is away, 77 it refused, 78 configuration.
"""
PURGE_QUEUE_EPILOG = """
Exit codes: 0, 1 there is no such queue or the answer was no, 64 usage, 69 the broker is away, 77 it refused,
78 configuration, 130 Ctrl-C.
"""


def queue_info(
    config: ConfigFile = None,
    url: Url = None,
    url_file: UrlFile = None,
    queue: QueueOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; null is what the broker cannot tell.")] = False,
    server: ServerOption = None,
) -> None:
    """Count the messages that wait: ready, delayed and dead; and who consumes. Changes nothing."""
    from gridsidecar.cli.terminal import json_text

    place, info = asyncio.run(_info(where(server, config, "broker", url=url_flag(url, url_file), queue=queue)))
    if as_json:
        print(json_text(info))
    elif info["exists"] or info["delayed"] or info["dead"]:
        _print(info, place)
    if not info["exists"]:
        _say_missing(info, place)
        raise typer.Exit(EX_FAILED)


def purge_queue(
    config: ConfigFile = None,
    url: Url = None,
    url_file: UrlFile = None,
    queue: QueueOption = None,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove every message that waits in the queue. There is no way back.

    Delayed and dead messages stay, and so does what a worker has in hand. A task that was begun before is brought back
    by a worker: its row knows it.
    """
    from gridsidecar.cli.terminal import agreed, json_text, must_ask, say
    from gridsidecar.fleet import Where

    ask = must_ask(yes, "purge-queue")
    settings = _settings(config, url_flag(url, url_file), queue)
    place, info = asyncio.run(_info(Where(settings)))
    if not info["exists"]:
        _say_missing(info, place)
        raise typer.Exit(EX_FAILED)
    say(_what_goes(info, place))
    if ask and info["ready"] and not agreed("remove for good?"):
        raise typer.Exit(EX_FAILED)
    removed = asyncio.run(_purge(settings.broker))
    if as_json:
        print(json_text({"queue": info["queue"], "removed": removed}))
    say(f"removed {counted(removed, 'message')}")


def _what_goes(info: QueueView, place: str) -> str:
    waits = "waits" if info["ready"] == 1 else "wait"
    text = f"{counted(info['ready'], 'message')} {waits} in {info['queue']} on {place}"
    delayed = sum(info["delayed"].values())
    return f"{text}; {delayed:,} delayed and {info['dead']:,} dead stay" if delayed or info["dead"] else text


async def _info(asked: Where) -> tuple[str, QueueView]:
    """Where the broker is, and what is in its queue."""
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        return fleet.queue.place, await fleet.queue.info()


async def _purge(settings: BrokerSettings) -> int:
    from gridsidecar.broker import make_broker
    from gridsidecar.telemetry import Readiness

    broker = make_broker(settings, Readiness())
    try:
        return await broker.purge()
    finally:
        await broker.close()


def _settings(config: str | None, url: object, queue: str | None) -> Settings:
    from gridsidecar.cli.context import load_parts

    return load_parts(config, "broker", flags={"broker.url": url, "broker.queue": queue})


def _say_missing(info: QueueView, place: str) -> None:
    from gridsidecar.cli.terminal import say

    say(f"no queue {info['queue']} on {place}; a worker or a producer creates it")


def _print(info: QueueView, place: str) -> None:
    from gridsidecar.cli.listing import print_facts
    from gridsidecar.cli.terminal import clean

    print_facts(
        [
            ("queue", theirs(clean(info["queue"]))),
            ("broker", clean(place)),
            ("ready", f"{info['ready']:,}"),
            ("in hand", _known(info["unsettled"])),
            ("consumers", _known(info["consumers"])),
            ("delayed", _delayed(info)),
            ("dead", f"{info['dead']:,} ({theirs(clean(info['dead_letter_queue']))})"),
        ]
    )


def _known(count: int | None) -> str:
    return translated("unknown") if count is None else f"{count:,}"


def _delayed(info: QueueView) -> str:
    from gridsidecar.cli.task_line import span

    waiting = [(int(seconds), count) for seconds, count in info["delayed"].items() if count]
    if not waiting:
        return "0"
    parts = ", ".join(f"{count:,} for up to {span(seconds)}" for seconds, count in waiting)
    return f"{sum(count for _, count in waiting):,}: {parts}"
