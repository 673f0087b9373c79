"""`gridsidecar tasks cancel` and `tasks retry`: some by their ids, or all that a filter names."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct, field

from gridsidecar.cli.config_options import ConfigFile
from gridsidecar.cli.queue import QueueOption, Yes
from gridsidecar.cli.server import ServerOption, where
from gridsidecar.cli.since import Since, Until
from gridsidecar.errors import UsageError
from gridsidecar.rules.task import Status

if TYPE_CHECKING:
    from gridsidecar.fleet import Where
    from gridsidecar.store import Filter, OperationKind

EPILOG = """
By ids nothing is asked; by a filter the number of tasks is shown first. A filter, more than 500 ids, or starts that are
spread are a stored operation: should this command die, a worker goes on with it within a minute, and so does
`gridsidecar operations resume`.

Exit codes: 0 all done, 1 some were refused or are unknown, or the answer was no, 64 usage, 69 a server is away,
77 it refused, 78 configuration, 130 Ctrl-C.
"""

Ids = Annotated[list[str] | None, typer.Argument(help="Ids of tasks.", metavar="ID")]
States = Annotated[list[Status] | None, typer.Option("--status", help="Only tasks in this state; may be repeated.")]
Type = Annotated[str | None, typer.Option("--type", help="Only tasks of this type.")]
OfErrorType = Annotated[str | None, typer.Option("--error-type", help="Only tasks whose last error is of this type.")]
All = Annotated[bool, typer.Option("--all", help="All tasks of the queue that can be meant.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a task.")]
Over = Annotated[
    str | None, typer.Option("--over", help="Spread the starts evenly over this time: 10m, 2h.", metavar="TIME")
]


class Wish(Struct, frozen=True):
    """What a command line asks for: of these tasks, or (without ids) of those that the filter names."""

    kind: OperationKind
    ids: list[str]
    filter: Filter
    spread: float = 0.0
    yes: bool = False
    dry_run: bool = False
    as_json: bool = False


class Named(Struct, frozen=True, kw_only=True):
    """The options that name tasks."""

    ids: list[str] = field(default_factory=list)
    states: list[Status] = field(default_factory=list)
    task_type: str | None
    error_type: str | None
    since: str | None
    until: str | None
    everything: bool

    def filter(self, queue: str, kind: OperationKind, now: datetime) -> Filter:
        """UsageError where they contradict each other, or name nothing."""
        from gridsidecar.cli.since import moment
        from gridsidecar.operations.steering import MEANT, POSSIBLE
        from gridsidecar.store import Filter

        options = any((self.states, self.task_type, self.error_type, self.since, self.until))
        if self.ids and (options or self.everything):
            raise UsageError("ids and filters exclude each other")
        if "" in self.ids:
            raise UsageError("an id of a task has 1 to 255 characters")
        if vain := [state for state in self.states if state not in POSSIBLE[kind]]:
            raise UsageError(f"--status {vain[0]}: it can be {', '.join(POSSIBLE[kind])}")
        if self.everything and options:
            raise UsageError("--all and other filters exclude each other")
        if not (self.ids or options or self.everything):
            raise UsageError("give ids of tasks, or a filter; all tasks need --all")
        since, until = moment(self.since, now), moment(self.until, now, "--until")
        if since and until and since >= until:
            raise UsageError("--since is not before --until, so no task can be meant")
        states = tuple(dict.fromkeys(self.states)) or MEANT[kind]
        return Filter(
            statuses=states,
            queue=queue,
            task_type=self.task_type,
            error_type=self.error_type,
            since=since,
            until=until,
        )


def queue_of(asked: Where) -> str:
    """Empty where it is the server's own."""
    return "" if asked.settings is None else asked.settings.broker.queue


def cancel(
    ids: Ids = None,
    states: States = None,
    task_type: Type = None,
    error_type: OfErrorType = None,
    queue: QueueOption = None,
    since: Since = None,
    until: Until = None,
    everything: All = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    server: ServerOption = None,
) -> None:
    """Cancel tasks: those that wait at once, those that run within seconds. An id that no worker has seen yet is noted:
    its task never runs.

    Without --status, a filter means tasks that are pending, retrying or running.
    """
    from gridsidecar.store import OperationKind

    asked = where(server, config, "store", queue=queue)
    named = Named(
        ids=ids or [],
        states=states or [],
        task_type=task_type,
        error_type=error_type,
        since=since,
        until=until,
        everything=everything,
    )
    _steer(asked, OperationKind.CANCEL, named, yes=yes, dry_run=dry_run, as_json=as_json)


def retry(
    ids: Ids = None,
    states: States = None,
    task_type: Type = None,
    error_type: OfErrorType = None,
    queue: QueueOption = None,
    since: Since = None,
    until: Until = None,
    everything: All = False,
    over: Over = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    server: ServerOption = None,
) -> None:
    """Run tasks again that failed or were cancelled, with the same ids and all their retries.

    Without --status, a filter means tasks that failed.
    """
    from gridsidecar.cli.since import span
    from gridsidecar.operations.steering import LONGEST_SPREAD
    from gridsidecar.store import OperationKind

    asked = where(server, config, "store", "broker", queue=queue)
    named = Named(
        ids=ids or [],
        states=states or [],
        task_type=task_type,
        error_type=error_type,
        since=since,
        until=until,
        everything=everything,
    )
    spread = span(over, "--over", LONGEST_SPREAD)
    _steer(asked, OperationKind.RETRY, named, spread=spread, yes=yes, dry_run=dry_run, as_json=as_json)


def _steer(
    asked: Where, kind: OperationKind, named: Named, *, spread: float = 0.0, yes: bool, dry_run: bool, as_json: bool
) -> None:
    from gridsidecar.cli.steering import steer
    from gridsidecar.clock import SystemClock

    chosen = named.filter(queue_of(asked), kind, SystemClock().now())
    wish = Wish(kind, named.ids, chosen, spread, yes, dry_run, as_json)
    raise typer.Exit(asyncio.run(steer(asked, wish)))
