"""`gridsidecar dead list | show | replay | drop`: what can never run, and another chance for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gridsidecar.cli.config_options import ConfigFile, Url, UrlFile, url_flag
from gridsidecar.cli.queue import QueueOption, Yes
from gridsidecar.cli.server import ServerOption, where, where_with_any_store
from gridsidecar.errors import EX_FAILED, EX_OK, UsageError
from gridsidecar.language import counted

if TYPE_CHECKING:
    from gridsidecar.cli.context import ConfigPart
    from gridsidecar.fleet import Where
    from gridsidecar.views import LetterView, QueueView

app = typer.Typer(
    help="Messages that were refused, and of tasks that failed for good: look at them, give them another chance.",
    no_args_is_help=True,
    add_completion=False,
)

Ids = Annotated[list[str] | None, typer.Argument(help="task_id or message_id of letters.", metavar="ID")]
All = Annotated[bool, typer.Option("--all", help="All letters of this queue.")]
OfSucceeded = Annotated[
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
    queue: QueueOption = None,
    server: ServerOption = None,
) -> None:
    """List the dead letters, oldest first: id, time, size, what their tasks are now, and why they are here."""
    asked = where_with_any_store(server, config, url=url_flag(url, url_file), queue=queue)
    asyncio.run(_list(asked, limit, as_json))


@app.command("show")
def show(
    id_: Annotated[str, typer.Argument(help="task_id or message_id.", metavar="ID")],
    as_json: AsJson = False,
    config: ConfigFile = None,
    url: Url = None,
    url_file: UrlFile = None,
    queue: QueueOption = None,
    server: ServerOption = None,
) -> None:
    """Show one letter whole: reason, properties, headers, body. Exit code 1 when there is none of that id."""
    asked = where(server, config, "broker", url=url_flag(url, url_file), queue=queue, has_store=False)
    raise typer.Exit(asyncio.run(_show(asked, id_, as_json)))


@app.command("replay")
def replay(
    ids: Ids = None,
    everything: All = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    url: Url = None,
    url_file: UrlFile = None,
    queue: QueueOption = None,
    server: ServerOption = None,
) -> None:
    """Put letters back on the work queue, as their producers sent them, and print their ids.

    That of a task that failed for good (broker.dead_letter_failed) retries this task.
    One whose replay would be in vain stays where it is, and stderr says why; then the exit code is 1.
    """
    from gridsidecar.cli.replaying import replay_letters

    _some(ids, everything)
    asked = where(server, config, "broker", "store", url=url_flag(url, url_file), queue=queue)
    raise typer.Exit(asyncio.run(replay_letters(asked, set(ids or ()), as_json)))


@app.command("drop")
def drop(
    ids: Ids = None,
    everything: All = False,
    succeeded: OfSucceeded = False,
    yes: Yes = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    url: Url = None,
    url_file: UrlFile = None,
    queue: QueueOption = None,
    server: ServerOption = None,
) -> None:
    """Remove letters for good and print their ids. Without ids it asks first, or needs --yes without a terminal."""
    from gridsidecar.cli.terminal import must_ask

    if succeeded and (ids or everything):
        raise UsageError("--succeeded, ids and --all exclude each other")
    _some(ids, everything or succeeded)
    ask = not ids and must_ask(yes, f"dead drop {'--succeeded' if succeeded else '--all'}")
    parts: tuple[ConfigPart, ...] = ("broker", "store") if succeeded else ("broker",)
    asked = where(server, config, *parts, url=url_flag(url, url_file), queue=queue, has_store=succeeded)
    raise typer.Exit(asyncio.run(_drop(asked, set(ids or ()), succeeded, ask, as_json)))


def _agreed(info: QueueView, succeeded: bool) -> bool:
    from gridsidecar.cli.terminal import agreed

    which = f"those of queue {info['queue']}{' whose tasks succeeded' if succeeded else ''}"
    letters = f"{counted(info['dead'], 'dead letter')} in {info['dead_letter_queue']}"
    return not info["dead"] or agreed(f"{letters}: remove {which} for good?")


def _some(ids: list[str] | None, everything: bool) -> None:
    if bool(ids) == everything:
        raise UsageError("give ids of letters, or --all" if not ids else "ids and --all exclude each other")


async def _list(asked: Where, limit: int, as_json: bool) -> None:
    from gridsidecar.cli.terminal import json_text, say
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        letters = await fleet.queue.letters(limit)
        if letters.unknown:
            say(f"what their tasks are now is not known: {letters.unknown}")
        if as_json:
            for letter in letters.found:
                print(json_text(letter), flush=True)
        elif letters.found:
            _print(letters.found)
        if not letters.found:
            say(f"no dead letters in {(await fleet.queue.info())['dead_letter_queue']}")
    if letters.more:
        say(f"there are more than these {limit}; --limit shows more")


def _print(letters: list[LetterView]) -> None:
    from gridsidecar.cli.letter_view import id_of, reason, time_of
    from gridsidecar.cli.listing import print_listing
    from gridsidecar.cli.task_line import STYLES
    from gridsidecar.cli.terminal import clean, told

    rows = [
        (clean(id_of(one)), time_of(one), f"{one['bytes']:,}", one["task_status"] or "", told(reason(one)))
        for one in letters
    ]
    print_listing(("id", "time", "bytes", "status", "reason"), rows, STYLES)


async def _show(asked: Where, id_: str, as_json: bool) -> int:
    from gridsidecar.cli.letter_view import facts, say_unknown
    from gridsidecar.cli.listing import print_facts
    from gridsidecar.cli.terminal import json_text
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        letters = await fleet.queue.letter(id_)
        if not letters:
            return await say_unknown({id_}, fleet.queue)
    for shown, letter in enumerate(letters):
        if as_json:
            print(json_text(letter), flush=True)
        else:
            print("\n" if shown else "", end="", flush=True)
            print_facts(list(facts(letter)))
    return EX_OK


async def _drop(asked: Where, ids: set[str], succeeded: bool, ask: bool, as_json: bool) -> int:
    from gridsidecar.cli.letter_view import id_of, ids_of, say_unknown, say_unnamed
    from gridsidecar.cli.terminal import clean, json_text, say
    from gridsidecar.fleet import reach

    dropped, unnamed, unknown = 0, 0, set(ids)
    async with reach(asked) as fleet:
        if ask and not _agreed(await fleet.queue.info(), succeeded):
            return EX_FAILED
        async for letter in fleet.queue.drop(ids, succeeded):
            dropped += 1
            if letter is None:
                unnamed += 1
                continue
            unknown -= ids_of(letter)
            print(json_text(letter) if as_json else clean(id_of(letter)), flush=True)
        say_unnamed(unnamed)
        say(f"{dropped:,} dropped")
        return await say_unknown(unknown, fleet.queue) if unknown else EX_OK
