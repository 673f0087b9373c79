"""`gridsidecar demo`: a queue, a sidecar and a handful of tasks, live."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gridsidecar.cli.listing import print_listing
from gridsidecar.cli.task_line import STYLES, duration, error_line, status_of
from gridsidecar.cli.terminal import console, interactive, json_text, say, told
from gridsidecar.errors import EX_FAILED, EX_OK
from gridsidecar.language import translated
from gridsidecar.runtime import signals

if TYPE_CHECKING:
    from gridsidecar.cli.follow import Views
    from gridsidecar.demo.plan import DemoTask
    from gridsidecar.demo.sidecar import Sidecar
    from gridsidecar.views import TaskView

LONGEST = 18.0  # seconds until what has not ended is a failure
TERMINATED = 143  # 128 + SIGTERM
_COLUMNS = ("task", "handler", "status", "attempts", "time", "result or error")


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder, and say where it is.")] = False,
    page: Annotated[bool, typer.Option("--page", help="Show it on a page, and keep going until Ctrl-C.")] = False,
) -> None:
    """See it work: a queue, a sidecar and a handful of tasks in a temporary folder, with nothing to install.

    The tasks run in shell, Python and Node: some with progress, one that is retried, one with bad data, one that hangs.
    """
    from gridsidecar.demo.plan import find_node, lay_out, tasks
    from gridsidecar.demo.sidecar import Sidecar

    with _folder(keep) as folder:
        node = find_node()
        planned = tasks(folder, node)
        config = lay_out(folder, planned, listen=page)
        without = "" if node else "; Node is not installed, so its handler is left out"
        say(f"gridsidecar demo: {len(planned)} tasks, one sidecar, queue and state in one SQLite file{without}\n")
        if page:
            raise typer.Exit(_show_page(config, planned))
        with Sidecar(config) as sidecar:
            views = asyncio.run(_carry(config, planned, sidecar))
        if not interactive(sys.stderr):
            say("")  # bars leave by themselves, lines do not
        _print_table(planned, views)
        code = _judge(planned, views)
        _say_next(config if keep else None)
    raise typer.Exit(code)


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    """A temporary folder; SIGTERM and a closed terminal remove it, too."""
    folder = Path(tempfile.mkdtemp(prefix="gridsidecar-demo-"))
    signals.obey(lambda *_: sys.exit(TERMINATED))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _show_page(config: Path, planned: Sequence[DemoTask]) -> int:
    """Until Ctrl-C, which is how it ends well."""
    from gridsidecar.cli.demo_page import keep_going
    from gridsidecar.demo.sidecar import Sidecar

    def tell(url: str) -> None:
        say(f"The page is at {url}/ - open it in a browser. A task comes every other second; Ctrl-C ends it all.")

    try:
        with Sidecar(config) as sidecar:
            asyncio.run(keep_going(config, planned, sidecar, tell))
    except KeyboardInterrupt:
        say("\nStopped.")
    return EX_OK


async def _carry(config: Path, planned: Sequence[DemoTask], sidecar: Sidecar) -> Views:
    """Submit the tasks and follow them to their ends."""
    from gridsidecar.cli.follow import follow
    from gridsidecar.cli.progress_bars import make_display
    from gridsidecar.cli.task_sender import TaskSender
    from gridsidecar.config.load import load
    from gridsidecar.demo.plan import message
    from gridsidecar.fleet import Where, reach

    settings = load(str(config), environ={}, dotenv=None)
    async with reach(Where(settings), makes=True) as fleet:
        await fleet.queue.open()
        outbox = TaskSender(fleet.queue, settings.broker.max_message_bytes, lambda task_id: None)
        for task in planned:
            await outbox.send_one(message(task))
        with make_display({task.name: f"{task.name:<10}  {task.handler}" for task in planned}) as display:

            def show(views: Views) -> None:
                sidecar.check()
                display.show(views)

            return await follow(fleet.tasks, [task.name for task in planned], show, limit=LONGEST)


# -- what came of it --------------------------------------------------------------------------------------------------


def _as_planned(task: DemoTask, view: TaskView | None) -> bool:
    if view is None:
        return False
    planned = (task.status, task.attempts, task.error_type)
    return planned == (view["status"], view["attempt"], view["error_type"] if task.status != "success" else None)


def _judge(planned: Sequence[DemoTask], views: Views) -> int:
    wrong = [task for task in planned if not _as_planned(task, views[task.name])]
    for task in wrong:
        say(f"{task.name} should have ended with {task.status} at attempt {task.attempts}")
    if wrong:
        return EX_FAILED
    failed = sum(task.status == "failed" for task in planned)
    say(f"\nAll {len(planned)} tasks ended as they should; {failed} of them were meant to fail.")
    return EX_OK


def _rows(planned: Sequence[DemoTask], views: Views) -> list[tuple[str, ...]]:
    return [(task.name, task.handler, *_cells(views[task.name])) for task in planned]


def _cells(view: TaskView | None) -> tuple[str, str, str, str]:
    from gridsidecar.cli.times import seconds_between

    if view is None:
        return "queued", "0", "", ""
    created, over = view["created_at"], view["completed_at"]
    took = told(duration(seconds_between(created, over))) if created and over else ""
    end = json_text(view["result"]) if view["status"] == "success" else translated(error_line(view))
    return status_of(view), str(view["attempt"]), took, end


def _print_table(planned: Sequence[DemoTask], views: Views) -> None:
    rows = _rows(planned, views)
    if interactive(sys.stdout):
        _print_rich(rows)
        return
    print_listing(_COLUMNS, rows)
    sys.stdout.flush()


def _print_rich(rows: list[tuple[str, ...]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    for name in _COLUMNS[:-1]:
        table.add_column(translated(name), no_wrap=True, justify="right" if name in ("attempts", "time") else "left")
    table.add_column(translated(_COLUMNS[-1]), overflow="fold")
    for name, handler, status, *rest in rows:
        table.add_row(Text(name), Text(handler), Text(status, style=STYLES[status]), *(Text(cell) for cell in rest))
    console(sys.stdout).print(table)


def _say_next(kept: Path | None) -> None:
    if kept is not None:
        say(f"\nKept in {kept.parent}: handlers, configuration, database, log. Go on with:")
        say(f"  gridsidecar status -c {kept} payment")
        say(f"  gridsidecar run -c {kept}")
        return
    say("\nNext:")
    say("  gridsidecar exec -- YOUR COMMAND   one task through your own command")
    say("  gridsidecar demo --keep            the same, keeping its files")
    say("  gridsidecar run -c config.yaml     the real thing, on RabbitMQ and MySQL")
