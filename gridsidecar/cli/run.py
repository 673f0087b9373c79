"""`gridsidecar run`: the daemon."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gridsidecar.cli.config_options import ConfigFile, Url, UrlFile, command_flag, config_file, url_flag
from gridsidecar.errors import EX_OK, GridSidecarError, UsageError
from gridsidecar.runtime import signals

if TYPE_CHECKING:
    from gridsidecar.config.settings import Settings
    from gridsidecar.daemon import RunOptions

CONTEXT = {"allow_interspersed_args": False}  # what follows is the handler's command
EPILOG = """
Examples:

gridsidecar run -c config.yaml

gridsidecar run --burst -u amqp://guest:guest@localhost/ -q task_queue -- python3 handler.py

The file is optional where flags and variables say enough: the broker, the store, a handler.

-- CMD takes the place of the default handler; of one in a file that -c names it replaces the command only.

Exit codes: 0 told to leave, or nothing left to do, 64 usage, 69 a server is away (--fail-fast), 77 refused,
78 configuration.
"""


def run(
    command: Annotated[
        list[str] | None, typer.Argument(help="The default handler: -- CMD ARGS...", metavar="-- CMD")
    ] = None,
    config: ConfigFile = None,
    burst: Annotated[
        bool, typer.Option("-b", "--burst", help="Exit 0 when the queue is empty; retries and delayed tasks stay.")
    ] = False,
    burst_timeout: Annotated[float | None, typer.Option(help="Seconds a burst may last; 0 = no limit.")] = None,
    burst_check_interval: Annotated[float | None, typer.Option(help="Seconds between two looks at the queue.")] = None,
    no_wait_tasks: Annotated[
        bool, typer.Option("--no-wait-tasks", help="A burst ends without waiting for running tasks.")
    ] = False,
    url: Url = None,
    url_file: UrlFile = None,
    queue: Annotated[str | None, typer.Option("-q", "--queue", help="broker.queue")] = None,
    concurrency: Annotated[int | None, typer.Option("-p", "--concurrency", help="Tasks at a time.")] = None,
    processes: Annotated[str | None, typer.Option(help="worker.processes: a number, or auto.")] = None,
    level: Annotated[str | None, typer.Option("-l", "--level", help="log.level")] = None,
    instance_id: Annotated[str | None, typer.Option(help="worker.name")] = None,
    once: Annotated[bool, typer.Option("--once", help="Exit after one task.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Exit 69 when a server is away at the start.")] = False,
) -> None:
    """Take tasks from the queue and run the handler's command for each, until told to stop."""
    signals.obey(_leave_at_once)  # until the daemon listens: what follows takes half a second
    from gridsidecar import daemon, failpoints

    failpoints.refuse(os.environ)
    overrides: dict[str, object] = {
        "broker.url": url_flag(url, url_file),
        "broker.queue": queue,
        "worker.concurrency": concurrency,
        "worker.processes": int(processes) if processes and processes.isdecimal() else processes,
        "worker.name": instance_id,
        "worker.burst": burst or None,
        "worker.burst_timeout": burst_timeout,
        "worker.burst_check_interval": burst_check_interval,
        "worker.burst_wait": False if no_wait_tasks else None,
        "log.level": level.upper() if level else None,
    }
    if once and burst:
        raise UsageError("--once and --burst exclude each other")
    settings = _load_and_log(config, overrides | command_flag(command, config))
    if settings.worker.processes != 1 and not _runs_alone(settings, once):
        from gridsidecar.supervisor.plan import become_supervisor

        become_supervisor(settings, fail_fast=fail_fast)
    raise typer.Exit(_run(settings, daemon.RunOptions(once=once, fail_fast=fail_fast)))


def _runs_alone(settings: Settings, once: bool) -> bool:
    """Whether `processes` comes to one: `auto` on one core, or for one task."""
    from gridsidecar.config.processes import processes_of

    if once and settings.worker.processes != "auto":
        raise UsageError(
            f"--once runs one task, and worker.processes is {settings.worker.processes}: set it to 1 (--processes 1)"
        )
    return once or processes_of(settings) == 1


def _leave_at_once(*_: object) -> NoReturn:
    raise SystemExit(EX_OK)


def _run(settings: Settings, options: RunOptions) -> int:
    """The exit code; what ended the run stands in the log, where its readers look for it."""
    from gridsidecar import daemon, telemetry

    try:
        return daemon.run(settings, options)
    except GridSidecarError as error:
        telemetry.error("cannot go on", reason=str(error))
        return error.exit_code


def _load_and_log(named: str | None, overrides: dict[str, object]) -> Settings:
    """The settings; from here on the log is as they say."""
    from gridsidecar import telemetry
    from gridsidecar.clock import SystemClock
    from gridsidecar.config.load import load
    from gridsidecar.handler.commands import unstartable
    from gridsidecar.telemetry.file import LogFile

    telemetry.free_stderr()
    telemetry.configure("INFO", "console")
    path = config_file(named)
    idle: list[tuple[str, str]] = []  # told when the language is known
    doubtful: list[tuple[str, str]] = []
    settings = load(
        path,
        overrides=overrides,
        environ=os.environ,
        warn=lambda *found: idle.append(found),
        unusual=lambda *found: doubtful.append(found),
    )
    log = settings.log
    file = LogFile(log.dir, SystemClock()) if log.dir else None
    telemetry.configure(log.level, log.format, language=log.language, file=file)
    if path is not None and named is None:
        telemetry.info("configuration found", file=os.path.abspath(path))
    for name, advice in idle:
        telemetry.warning("a variable has no effect", variable=name, hint=advice)
    for key, hint in doubtful:
        telemetry.warning("a setting is unusual", key=key, hint=hint)
    for key, problem in unstartable(settings, os.environ):
        telemetry.warning("a command cannot be started here", key=key, reason=problem)
    return settings
