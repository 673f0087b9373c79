"""`gridsidecar dead list | show | replay | drop`: what can never run, and another chance for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gridsidecar.cli.queue import Queue, Yes
from gridsidecar.cli.run import ConfigFile, Url, UrlFile, url_flag
from gridsidecar.errors import EX_FAILED, EX_OK, ConfigError, UsageError

if TYPE_CHECKING:
    from gridsidecar.cli.parts import Part
    from gridsidecar.config.settings import BrokerSettings, Settings
    from gridsidecar.dead_letters import Letter

app = typer.Typer(
    help="Messages that were refused, and of tasks that failed for good: look at them, give them another chance.",
    no_args_is_help=True,
)

Ids = Annotated[list[str] | None, typer.Argument(help="task_id or message_id of letters.", metavar="ID")]
All = Annotated[bool, typer.Option("--all", help="All letters of this queue.")]
Succeeded = Annotated[
    bool, typer.Option("--succeeded", help="All letters of this queue whose tasks have succeeded since.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a letter.")]


@app.command("list")
def list_letters(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="Show no more than this.")] = 20,
    as_json: AsJson = False,
    config: ConfigFile = None,
    url: Url = None,
    url_file: UrlFile = None,
    queue: Queue = None,
) -> None:
    """List the dead letters, oldest first: id, time, size, what their tasks are now, and why they are here."""
    settings, has_store = _settings_of_list(config, url_flag(url, url_file), queue)
    asyncio.run(_list(settings, has_store, limit, as_json))


@app.command("show")
def show(
    id_: Annotated[str, typer.Argument(help="task_id or message_id.", metavar="ID")],
    as_json: AsJson = False,
    config: ConfigFile = None,
    url: Url = None,
    url_file: UrlFile = None,
    queue: Queue = None,
) -> None:
    """Show one letter whole: reason, properties, headers, body. Exit code 1 when there is none of that id."""
    settings = _settings(config, url_flag(url, url_file), queue, "broker")
    raise typer.Exit(asyncio.run(_show(settings.broker, id_, as_json)))


@app.command("replay")
def replay(
    ids: Ids = None,
    everything: All = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    url: Url = None,
    url_file: UrlFile = None,
    queue: Queue = None,
) -> None:
    """Put letters back on the work queue, as their producers sent them, and print their ids.

    That of a task that failed for good (broker.dead_letter_failed) retries this task.
    One whose replay would be in vain stays where it is, and stderr says why; then the exit code is 1.
    """
    from gridsidecar.cli.replaying import replay_letters

    _some(ids, everything)
    settings = _settings(config, url_flag(url, url_file), queue, "broker", "store")
    raise typer.Exit(asyncio.run(replay_letters(settings, set(ids or ()), as_json)))


@app.command("drop")
def drop(
    ids: Ids = None,
    everything: All = False,
    succeeded: Succeeded = False,
    yes: Yes = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    url: Url = None,
    url_file: UrlFile = None,
    queue: Queue = None,
) -> None:
    """Remove letters for good and print their ids. Without ids it asks first, or needs --yes without a terminal."""
    from gridsidecar.cli.screen import must_ask

    if succeeded and (ids or everything):
        raise UsageError("--succeeded, ids and --all exclude each other")
    _some(ids, everything or succeeded)
    ask = not ids and must_ask(yes, f"dead drop {'--succeeded' if succeeded else '--all'}")
    settings = _settings(config, url_flag(url, url_file), queue, "broker", *(("store",) if succeeded else ()))
    if ask and not _agreed(settings.broker, succeeded):
        raise typer.Exit(EX_FAILED)
    raise typer.Exit(asyncio.run(_drop(settings, set(ids or ()), succeeded, as_json)))


def _agreed(settings: BrokerSettings, succeeded: bool) -> bool:
    from gridsidecar.cli.screen import agreed, counted

    count = asyncio.run(_dead(settings))
    which = f"those of queue {settings.queue}{' whose tasks succeeded' if succeeded else ''}"
    return not count or agreed(f"{counted(count, 'dead letter')} in {settings.dead_letters}: remove {which} for good?")


def _some(ids: list[str] | None, everything: bool) -> None:
    if bool(ids) == everything:
        raise UsageError("give ids of letters, or --all" if not ids else "ids and --all exclude each other")


def _settings(config: str | None, url: object, queue: str | None, *parts: Part) -> Settings:
    from gridsidecar.cli.parts import load_parts

    return load_parts(config, *parts, flags={"broker.url": url, "broker.queue": queue})


def _settings_of_list(config: str | None, url: object, queue: str | None) -> tuple[Settings, bool]:
    """And whether they name a store: letters can be listed without."""
    try:
        return _settings(config, url, queue, "broker", "store"), True
    except ConfigError as error:
        if not all(fault.key == "store.url" and fault.value is None for fault in error.faults):
            raise
        return _settings(config, url, queue, "broker"), False


async def _list(all_settings: Settings, has_store: bool, limit: int, as_json: bool) -> None:
    from gridsidecar.cli.letter_view import local_time, reason
    from gridsidecar.cli.letters import states_of
    from gridsidecar.cli.listing import print_listing
    from gridsidecar.cli.parts import connected
    from gridsidecar.cli.screen import clean, json_text, say
    from gridsidecar.cli.task_words import STYLES
    from gridsidecar.dead_letters import letters_of
    from gridsidecar.shapes import letter_object

    settings = all_settings.broker
    found: list[Letter] = []
    more = False
    async with connected(settings) as broker, letters_of(broker, settings) as letters:
        async for letter in letters:
            more = len(found) == limit
            if more:
                break
            found.append(letter)
    states = await states_of(found, all_settings if has_store else None)
    if as_json:
        for letter, state in zip(found, states, strict=True):
            print(json_text(letter_object(letter) | {"task_status": state}), flush=True)
    elif found:
        rows = [
            (clean(one.id), local_time(one.dead.time), f"{len(one.dead.message.body):,}", state or "", reason(one))
            for one, state in zip(found, states, strict=True)
        ]
        print_listing(("id", "time", "bytes", "status", "reason"), rows, STYLES)
    if not found:
        say(f"no dead letters in {settings.dead_letters}")
    if more:
        say(f"there are more than these {limit}; --limit shows more")


async def _show(settings: BrokerSettings, id_: str, as_json: bool) -> int:
    from gridsidecar.cli.letter_view import facts
    from gridsidecar.cli.letters import say_unknown
    from gridsidecar.cli.listing import print_facts
    from gridsidecar.cli.parts import connected
    from gridsidecar.cli.screen import json_text
    from gridsidecar.dead_letters import letters_of
    from gridsidecar.shapes import letter_in_full

    shown = 0
    async with connected(settings) as broker, letters_of(broker, settings) as letters:
        async for letter in letters:
            if id_ not in letter.ids:
                continue
            if as_json:
                print(json_text(letter_in_full(letter)), flush=True)
            else:
                print("\n" if shown else "", end="", flush=True)
                print_facts(list(facts(letter)))
            shown += 1
    return EX_OK if shown else say_unknown({id_}, settings)


async def _dead(settings: BrokerSettings) -> int:
    from gridsidecar.cli.parts import connected

    async with connected(settings) as broker:
        return (await broker.info()).dead


async def _drop(all_settings: Settings, ids: set[str], succeeded: bool, as_json: bool) -> int:
    from gridsidecar.cli.letters import say_unknown, task_states
    from gridsidecar.cli.parts import connected
    from gridsidecar.cli.screen import clean, json_text, say
    from gridsidecar.dead_letters import letters_of, wanted
    from gridsidecar.shapes import letter_object

    settings = all_settings.broker
    dropped, unknown = 0, set(ids)
    async with (
        connected(settings) as broker,
        task_states(all_settings if succeeded else None) as state_of,
        letters_of(broker, settings) as letters,
    ):
        async for letter in letters:
            if wanted(letter, ids, settings) and (not succeeded or await state_of(letter) == "success"):
                await letter.dead.remove()
                unknown -= letter.ids
                dropped += 1
                print(json_text(letter_object(letter)) if as_json else clean(letter.id), flush=True)
    say(f"{dropped:,} dropped")
    return say_unknown(unknown, settings) if unknown else EX_OK
