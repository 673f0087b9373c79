"""`gridsidecar submit`: tasks onto the queue, and with --wait their ends."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct

from gridsidecar.cli.config_options import ConfigFile, Url, UrlFile, url_flag
from gridsidecar.cli.server import ServerOption, where, where_with_any_store
from gridsidecar.errors import EX_FAILED, EX_OK, EX_RETRY, UsageError
from gridsidecar.language import counted

if TYPE_CHECKING:
    from gridsidecar.fleet import Fleet, Where
    from gridsidecar.views import TaskView

EPILOG = """
Examples:

gridsidecar submit --type resize --data '{"url": "https://example.org/a.png"}' --wait

gridsidecar submit tasks.jsonl

ls *.png | jq -R . | gridsidecar submit - --wrap --type resize

Exit codes: 0 all sent (with --wait: all succeeded), 1 some not, 64 usage, 69 a server is away, 75 --wait-timeout is
over, 77 refused, 78 configuration, 130 Ctrl-C.
"""


TaskSource = Annotated[
    str | None,
    typer.Argument(
        help="Task messages, one JSON object a line: a .jsonl file, or - for stdin. A .json file holds a list.",
        metavar="FILE",
    ),
]
WITHOUT_ROWS = "sent without rows in the table, which a worker writes when it takes a task up"
DATA_HELP = "The task's data: JSON, @FILE, or - for stdin."


def submit(
    source: TaskSource = None,
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
    server: ServerOption = None,
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
    place = url_flag(url, url_file)
    if wait:
        asked = where(server, config, "broker", "store", url=place, queue=queue)
    else:  # a producer needs no store
        asked = where_with_any_store(server, config, url=place, queue=queue)
    if compress and asked.address is not None:
        raise UsageError("--server and --compress exclude each other: an API takes a task as it is")
    raise typer.Exit(asyncio.run(_submit(asked, order, waiting)))


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


async def _submit(asked: Where, order: Order, waiting: Waiting) -> int:
    from gridsidecar.cli.terminal import clean, say
    from gridsidecar.fleet import reach
    from gridsidecar.views import cancelled_unrun

    async with reach(asked) as fleet:
        over = await _ended_before(fleet, order.fields.get("task_id"))
        ids, bad = await _send(fleet, asked, order, waiting)
    if over is not None and ids:
        unrun = cancelled_unrun(over)
        say(
            f"{clean(ids[0])} was cancelled before it ran; nothing was run: `gridsidecar tasks retry` runs it"
            if unrun
            else f"{clean(ids[0])} had already ended; nothing was run"
        )
    if bad:
        say(f"{counted(len(ids))} sent, {bad} not")
    code = await _wait(asked, ids, waiting) if waiting.wait and ids else EX_OK
    return EX_FAILED if bad and code == EX_OK else code


async def _ended_before(fleet: Fleet, task_id: str | None) -> TaskView | None:
    """The task that has had its end under this id, so that another message changes nothing; None where nobody can
    tell."""
    from gridsidecar.cli.task_line import ended
    from gridsidecar.errors import GridSidecarError
    from gridsidecar.store import RowRejected

    if task_id is None:
        return None
    try:
        known = await fleet.tasks.get(task_id)
        return known if ended(known) else None
    except (
        GridSidecarError,
        RowRejected,
    ):  # no tables yet, or no store: the task is sent all the same, and the waiting says what is wrong
        return None


async def _send(fleet: Fleet, asked: Where, order: Order, waiting: Waiting) -> tuple[list[str], int]:
    """The ids of what was sent, and the number of items that were not."""
    from gridsidecar.cli.task_sender import TaskSender
    from gridsidecar.cli.terminal import json_text, say

    def confirmed(task_id: str) -> None:
        if not waiting.as_json:
            print(task_id, flush=True)
        elif not waiting.wait:
            print(json_text({"task_id": task_id}), flush=True)

    await fleet.queue.open()
    outbox = TaskSender(fleet.queue, _most_bytes(asked), confirmed, compress=order.compress)
    if order.source is None:
        await outbox.send_one(order.fields)
    else:
        await outbox.send_all(order.source, order.fields, order.wrap)
    if outbox.ids and fleet.queue.without_rows is not None:
        say(f"{WITHOUT_ROWS}: {fleet.queue.without_rows}")
    return outbox.ids, outbox.bad


def _most_bytes(asked: Where) -> int:
    """Of a message; a server has its own limit."""
    from gridsidecar.config.settings import BrokerSettings

    if asked.settings is None:
        most: int = BrokerSettings.model_fields["max_message_bytes"].default
        return most
    return asked.settings.broker.max_message_bytes


async def _wait(asked: Where, ids: list[str], waiting: Waiting) -> int:
    from gridsidecar.cli.follow import follow
    from gridsidecar.cli.progress_bars import make_display
    from gridsidecar.cli.terminal import say
    from gridsidecar.fleet import reach

    try:
        async with reach(asked, makes=True) as fleet:
            with make_display() as display:
                views = await follow(fleet.tasks, ids, display.show, limit=waiting.limit)
    except asyncio.CancelledError:
        say("not waiting any longer; the tasks go on")
        raise
    return _tell(views, waiting)


def _tell(views: dict[str, TaskView | None], waiting: Waiting) -> int:
    from gridsidecar.cli.progress_bars import summary
    from gridsidecar.cli.task_line import ended, succeeded, words
    from gridsidecar.cli.terminal import clean, json_text, say

    for task_id, view in views.items():
        if waiting.as_json:
            print(json_text({"task_id": task_id, "status": "queued"} if view is None else view))
        elif ended(view) and not succeeded(view):
            say(f"{clean(task_id)}  {words(view)}")
    say(summary(views))
    if not all(ended(view) for view in views.values()):
        say(f"stopped waiting after {waiting.limit:g} s; the tasks go on")
        return EX_RETRY
    return EX_OK if all(succeeded(view) for view in views.values()) else EX_FAILED
