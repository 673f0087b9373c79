"""`gridsidecar submit`: tasks onto the queue, and with --wait their ends."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct

from gridsidecar.cli.run import ConfigFile, Url, UrlFile, url_flag
from gridsidecar.errors import EX_FAILED, EX_OK, EX_RETRY, UsageError

if TYPE_CHECKING:
    from gridsidecar.cli.task_words import View
    from gridsidecar.config.settings import Settings
    from gridsidecar.store import Beforehand

EPILOG = """
Examples:

gridsidecar submit --type resize --data '{"url": "https://example.org/a.png"}' --wait

gridsidecar submit tasks.jsonl

ls *.png | jq -R . | gridsidecar submit - --wrap --type resize

Exit codes: 0 all sent (with --wait: all succeeded), 1 some not, 64 usage, 69 a server is away, 75 --wait-timeout is
over, 77 refused, 78 configuration, 130 Ctrl-C.
"""


Source = Annotated[
    str | None,
    typer.Argument(
        help="Task messages, one JSON object a line: a .jsonl file, or - for stdin. A .json file holds a list.",
        metavar="FILE",
    ),
]
WITHOUT_ROWS = "sent without rows in the table, which a worker writes when it takes a task up"
DATA_HELP = "The task's data: JSON, @FILE, or - for stdin."


def submit(
    source: Source = None,
    file: Annotated[str | None, typer.Option("--file", help="The same as FILE.")] = None,
    wrap: Annotated[bool, typer.Option("--wrap", help="Each JSON value is the data of a task.")] = False,
    task_type: Annotated[str | None, typer.Option("--type", help="task_type; chooses the handler.")] = None,
    data: Annotated[str | None, typer.Option(help=DATA_HELP)] = None,
    task_id: Annotated[str | None, typer.Option("--id", help="task_id; made up when left out.")] = None,
    retries: Annotated[int | None, typer.Option(help="max_retry_count: retries after the first attempt.")] = None,
    priority: Annotated[str | None, typer.Option(help="0 - 9, low, normal, high or urgent.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one attempt may take.")] = None,
    defer_by: Annotated[float | None, typer.Option(help="Start in so many seconds.")] = None,
    defer_until: Annotated[str | None, typer.Option(help="Start at this time, ISO 8601; overrules --defer-by.")] = None,
    compress: Annotated[bool, typer.Option("--compress", help="Send bodies as gzip where that is smaller.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the tasks until all have ended.")] = False,
    wait_timeout: Annotated[float | None, typer.Option(help="Stop waiting after so many seconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a task.")] = False,
    config: ConfigFile = None,
    url: Url = None,
    url_file: UrlFile = None,
    queue: Annotated[str | None, typer.Option("-q", "--queue", help="broker.queue")] = None,
) -> None:
    """Put tasks on the queue and print their ids, one a line, each as soon as the broker has confirmed it.

    One task is made of the options; or each line of a file or of stdin is a whole task message, and the options fill in
    what it leaves out. A line that is no task is told on stderr, and the others are sent.
    """
    fields: dict[str, Any] = {
        "task_id": task_id,
        "task_type": task_type,
        "max_retry_count": retries,
        "priority": priority,
    }
    fields |= {"timeout": timeout, "defer_by": defer_by, "defer_until": defer_until}
    given = {name: value for name, value in fields.items() if value is not None}
    order = _order(_one_source(source, file), given, data, wrap, compress)
    waiting = _waiting(wait, wait_timeout, as_json)
    settings = _settings(config, wait, {"broker.url": url_flag(url, url_file), "broker.queue": queue})
    raise typer.Exit(asyncio.run(_submit(settings, order, waiting)))


def _settings(config: str | None, wait: bool, flags: dict[str, object]) -> Settings:
    from gridsidecar.cli.parts import load_parts
    from gridsidecar.errors import ConfigError

    try:
        return load_parts(config, "broker", "store", flags=flags)
    except ConfigError:
        if wait:
            raise
        return load_parts(config, "broker", flags=flags)  # a producer needs no store; what else is wrong is said here


class Order(Struct, frozen=True):
    """One task's fields, or a source of many and what they leave out."""

    fields: dict[str, Any]
    source: str | None = None
    wrap: bool = False
    compress: bool = False


class Waiting(Struct, frozen=True):
    """What happens after sending; `limit` in seconds."""

    wait: bool
    limit: float | None
    as_json: bool


def _waiting(wait: bool, limit: float | None, as_json: bool) -> Waiting:
    if limit is not None and not wait:
        raise UsageError("--wait-timeout needs --wait")
    if limit is not None and not 0 <= limit < math.inf:
        raise UsageError(f"--wait-timeout is {limit}: it must be a number of seconds")
    return Waiting(wait, limit, as_json)


def _one_source(source: str | None, file: str | None) -> str | None:
    if source is not None and file is not None:
        raise UsageError("FILE and --file exclude each other")
    return source if file is None else file


def _order(source: str | None, fields: dict[str, Any], data: str | None, wrap: bool, compress: bool) -> Order:
    if source is None:
        if wrap:
            raise UsageError("--wrap needs a FILE, or - for stdin")
        if data is None and not fields:
            raise UsageError("nothing to submit: give --type, --data or --id, a FILE, or - for JSON lines on stdin")
        return Order(fields if data is None else {**fields, "data": read_data(data)}, compress=compress)
    for name, given in (("--id", "task_id" in fields), ("--data", data is not None)):
        if given:
            raise UsageError(f"{name} is for one task; with a FILE or stdin each line says its own")
    return Order(fields, source, wrap, compress)


def read_data(text: str) -> Any:
    """The value that --data gives."""
    from gridsidecar.cli.task_sources import read_all
    from gridsidecar.wire.strict_json import JsonRefused, parse_json

    if text == "-" or text.startswith("@"):
        text = read_all(text.removeprefix("@"))
    try:
        return parse_json(text)
    except JsonRefused as refused:
        raise UsageError(f"--data is not JSON: {refused.detail}; a text is written as '\"text\"'") from None


async def _submit(settings: Settings, order: Order, waiting: Waiting) -> int:
    from gridsidecar.cli.screen import clean, say

    over = waiting.wait and await _already_ended(settings, order.fields.get("task_id"))
    ids, bad = await _send(settings, order, waiting)
    if over:
        say(f"{clean(ids[0])} had already ended; nothing was run")
    if bad:
        say(f"{len(ids)} tasks sent, {bad} not")
    code = await _wait(settings, ids, waiting) if waiting.wait and ids else EX_OK
    return EX_FAILED if bad and code == EX_OK else code


async def _already_ended(settings: Settings, task_id: str | None) -> bool:
    """Whether this id has had its end, so that another message changes nothing; False where nobody can tell."""
    from gridsidecar.cli.parts import existing_store
    from gridsidecar.cli.task_words import ended
    from gridsidecar.errors import GridSidecarError

    if task_id is None:
        return False
    try:
        async with existing_store(settings) as store:
            return store is not None and ended(await store.reading.get(task_id))
    except (
        GridSidecarError
    ):  # no tables yet, or no store: the task is sent all the same, and the waiting says what is wrong
        return False


async def _send(settings: Settings, order: Order, waiting: Waiting) -> tuple[list[str], int]:
    """The ids of what was sent, and the number of items that were not."""
    from gridsidecar.broker import make_broker
    from gridsidecar.cli.outgoing import Outbox
    from gridsidecar.cli.screen import json_text, say
    from gridsidecar.submitting import Submitter
    from gridsidecar.telemetry import Readiness

    def confirmed(task_id: str) -> None:
        if not waiting.as_json:
            print(task_id, flush=True)
        elif not waiting.wait:
            print(json_text({"task_id": task_id}), flush=True)

    broker = make_broker(settings.broker, Readiness())
    try:
        await broker.open()
        async with _rows(settings) as rows:
            submitter = Submitter(broker, rows, settings)
            outbox = Outbox(submitter, settings.broker.max_message_bytes, confirmed, compress=order.compress)
            if order.source is None:
                await outbox.send_one(order.fields)
            else:
                await outbox.send_all(order.source, order.fields, order.wrap)
            if submitter.without_rows is not None:
                say(f"{WITHOUT_ROWS}: {submitter.without_rows}")
        return outbox.ids, outbox.bad
    finally:
        await broker.close()


@asynccontextmanager
async def _rows(settings: Settings) -> AsyncIterator[Beforehand | None]:
    """Where rows can be written before their messages are sent; None: nowhere. A producer needs no store."""
    from gridsidecar.cli.parts import has_store, open_to_wait
    from gridsidecar.cli.screen import say
    from gridsidecar.errors import GridSidecarError
    from gridsidecar.store import make_store

    if not has_store(settings):
        yield None
        return
    store = None
    try:
        try:
            store = make_store(settings.store, settings.broker.queue)
            await open_to_wait(store, settings)
            rows: Beforehand | None = store.beforehand
        except GridSidecarError as error:
            say(f"{WITHOUT_ROWS}: {error}")
            rows = None
        yield rows
    finally:
        if store is not None:
            await store.close()


async def _wait(settings: Settings, ids: list[str], waiting: Waiting) -> int:
    from gridsidecar.cli.bars import make_display
    from gridsidecar.cli.follow import follow
    from gridsidecar.cli.parts import open_to_wait
    from gridsidecar.cli.screen import say
    from gridsidecar.store import make_store

    store = make_store(settings.store, settings.broker.queue)
    try:
        await open_to_wait(store, settings)
        with make_display() as display:
            views = await follow(store.reading, ids, display.show, limit=waiting.limit)
    except asyncio.CancelledError:
        say("not waiting any longer; the tasks go on")
        raise
    finally:
        await store.close()
    return _tell(views, waiting)


def _tell(views: dict[str, View | None], waiting: Waiting) -> int:
    from gridsidecar.cli.bars import summary
    from gridsidecar.cli.screen import clean, json_text, say
    from gridsidecar.cli.task_words import ended, succeeded, words
    from gridsidecar.shapes import task_object

    for task_id, view in views.items():
        if waiting.as_json:
            print(json_text({"task_id": task_id, "status": "queued"} if view is None else task_object(view)))
        elif ended(view) and not succeeded(view):
            say(f"{clean(task_id)}  {words(view)}")
    say(summary(views))
    if not all(ended(view) for view in views.values()):
        say(f"stopped waiting after {waiting.limit:g} s; the tasks go on")
        return EX_RETRY
    return EX_OK if all(succeeded(view) for view in views.values()) else EX_FAILED
