"""`gridsidecar check`: a handler against the specification of the protocol."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gridsidecar.cli.config_options import ConfigFile, command_flag
from gridsidecar.errors import EX_FAILED, EX_OK, EX_RETRY, UsageError
from gridsidecar.runtime import signals

if TYPE_CHECKING:
    from gridsidecar.config.handlers import HandlerSettings
    from gridsidecar.conformance import Bench, ConformanceReport
    from gridsidecar.conformance.bench import HandlerMode

LONGEST = 604_800  # seconds: nobody waits for longer, and no system could at any length
CONTEXT = {"allow_interspersed_args": False}  # what follows is the handler's command
EPILOG = """
Examples:

gridsidecar check -- ./handler.sh

gridsidecar check -c config.yaml --type resize --data '{"url": "a.png", "width": 640}'

gridsidecar check --level 2 --mode persistent --task sample.json -- python3 worker.py

gridsidecar check --url http://127.0.0.1:8000/tasks --data '{"n": 1}'

gridsidecar check --strict --format json -- ./handler.sh > report.json

Levels: 0 it ends; 1 its messages are valid, and it bears what a worker may send it; 2 nothing that it prints can spoil
its messages, and it keeps to persistent mode. The ids in the table are those of protocol/README.md.

Exit codes: 0 all is well, 1 a check failed, 64 usage, 75 it could not be found out: the handler asked for a retry of
the sample task, or cannot be started, 130 Ctrl-C.
"""


def check(
    command: Annotated[
        list[str] | None, typer.Argument(help="The handler, instead of a configured one: -- CMD ARGS...", metavar="CMD")
    ] = None,
    task_type: Annotated[
        str | None, typer.Option("--type", help="task_type; chooses the handler of the configuration.")
    ] = None,
    level: Annotated[
        int | None, typer.Option(help="How far to check; else 1, and 2 for a persistent handler.", min=0, max=2)
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are failures.")] = False,
    task: Annotated[str | None, typer.Option(help="A file with the task to try, or - for stdin.")] = None,
    data: Annotated[str | None, typer.Option(help="The task's data: JSON, @FILE, or - for stdin.")] = None,
    url: Annotated[str | None, typer.Option(help="The handler is a server there, as in mode http.")] = None,
    mode: Annotated[
        Literal["oneshot", "persistent"] | None,
        typer.Option(help="How it is run; else persistent if it says ready although its stdin has ended."),
    ] = None,
    input_: Annotated[
        Literal["task", "data"] | None, typer.Option("--input", help="What it reads: the whole task, or its data.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds for one task; else as configured, or 60.", min=0.1, max=LONGEST)
    ] = None,
    grace: Annotated[
        float | None,
        typer.Option(help="Seconds between SIGTERM and SIGKILL; else as configured, or 10.", min=0.1, max=LONGEST),
    ] = None,
    ready_timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds until a persistent handler says ready; else as configured, or 30.", min=0.1, max=LONGEST
        ),
    ] = None,
    by_case: Annotated[
        bool, typer.Option("--cases", help="It is an SDK's own program, which does what data.case says; level 2.")
    ] = False,
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="How to tell.")] = "text",
    config: ConfigFile = None,
) -> None:
    """Try a handler and tell its author what to mend: no broker, no store.

    The handler is run several times, each time with the sample task or something close to it; let it do no harm. It is
    one of a configuration, run as that says; or CMD, as `mode`, `input` and the other options say. -- CMD takes the
    place of the default handler's command in a file that -c names.
    """
    from gridsidecar.clock import SystemClock
    from gridsidecar.conformance import Limits

    sample = _sample(task, task_type, data)
    if url is not None and (command or config):
        raise UsageError("--url excludes -- CMD and --config")
    handler, known_mode = _server(url) if url else _handler(command, config, str(sample.get("task_type", "default")))
    if known_mode == "http" and mode is not None:
        raise UsageError("a server runs already: leave --mode out")
    handler = handler.model_copy(update={"input": input_ or handler.input})
    if handler.input == "data" and (mode or known_mode) == "persistent":
        raise UsageError("a persistent handler reads whole tasks: leave --input out")
    limits = Limits(
        timeout=timeout or handler.timeout or 60,
        grace=grace or handler.kill_grace or 10,
        ready_timeout=ready_timeout or handler.persistent.ready_timeout,
    )
    bench = _bench(known_mode)(handler, sample, limits, SystemClock(), mode or known_mode)
    raise typer.Exit(_code(_checked(bench, 2 if by_case else level, strict, by_case, output)))


def _bench(mode: HandlerMode | None) -> type[Bench]:
    from gridsidecar.conformance import Bench

    if mode != "http":
        return Bench
    from gridsidecar.conformance.server_bench import ServerBench  # loads an HTTP client

    return ServerBench


def _server(url: str) -> tuple[HandlerSettings, HandlerMode]:
    from gridsidecar.config.handler_url import read_handler_url
    from gridsidecar.config.handlers import HandlerSettings

    try:
        read_handler_url(url)
    except ValueError as error:
        raise UsageError(f"--url {error}") from None
    return HandlerSettings(mode="http", url=url, timeout=60), "http"


def _handler(
    command: list[str] | None, config: str | None, task_type: str
) -> tuple[HandlerSettings, HandlerMode | None]:
    """The handler, and its mode where that is known."""
    from gridsidecar.cli.context import load_parts
    from gridsidecar.cli.execute import handler_name
    from gridsidecar.config.handlers import HandlerSettings

    if command and config is None:
        return HandlerSettings(command=command, timeout=60), None
    settings = load_parts(config, "handlers", flags=command_flag(command, config))
    handler = settings.handlers[handler_name(settings, "default" if command else task_type)]
    return handler, handler.mode


def _sample(task: str | None, task_type: str | None, data: str | None) -> dict[str, object]:
    from gridsidecar.cli.execute import task_fields
    from gridsidecar.wire.new_task import BadTask, make_task

    fields = {"data": {}, **task_fields("check-1", task, task_type, data)}
    try:
        return dict(make_task(fields, 16 * 1024 * 1024).fields)
    except BadTask as bad:
        raise UsageError(str(bad)) from None


def _checked(bench: Bench, level: int | None, strict: bool, by_case: bool, output: str) -> ConformanceReport | None:
    """None: it cannot be started."""
    from gridsidecar.cli.check_view import print_check, print_json, print_sum
    from gridsidecar.cli.terminal import say
    from gridsidecar.conformance import check_handler
    from gridsidecar.handler import reaper
    from gridsidecar.handler.command import NotStartable

    reaper.become_subreaper()
    reaper.hide_from_children()
    signals.obey(signal.default_int_handler)  # so that no handler is left behind
    try:
        until = level if level is not None else 2 if bench.mode == "persistent" else 1
        told = print_check if output == "text" else lambda _: None
        report = check_handler(bench, until, told, strict=strict, by_case=by_case)
    except NotStartable as problem:
        say(str(problem))
        return None
    except (OSError, ValueError) as error:
        say(f"the handler cannot be started: {error}")
        return None
    finally:
        asyncio.run(reaper.finish())
    print_sum(report) if output == "text" else print_json(report)
    return report


def _code(report: ConformanceReport | None) -> int:
    if report is None or report.inconclusive:
        return EX_RETRY
    return EX_FAILED if report.failed else EX_OK
