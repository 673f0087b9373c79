"""The commands: there, executable, with the script that they name; the servers; and the time to end when a worker
leaves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.config.secrets import masked_url
from gridsidecar.config.settings import Settings
from gridsidecar.doctor.finding import Diagnostic, Finding, at_once, fail, ok, warn
from gridsidecar.handler.command import Command, NotStartable
from gridsidecar.handler.commands import commands_of

LONGEST_CONNECT = 3.0  # seconds


def checks(
    settings: Settings, environ: Mapping[str, str], broken: Collection[str], *, leave_often: bool = False
) -> list[Diagnostic]:
    """One for each handler and hook whose command or server is known. `leave_often`: workers do, whatever they run."""
    commands = {
        name: command
        for name, command in commands_of(settings, environ)
        if not {"handlers", name, f"{name}.command"} & set(broken)
    }
    found = [Diagnostic(name, at_once(partial(_command, command))) for name, command in commands.items()]
    for name, each in settings.handlers.items():
        key = f"handlers.{name}"
        if each.mode == "http" and each.url and not {"handlers", key, f"{key}.url", f"{key}.mode"} & set(broken):
            found.append(Diagnostic(key, partial(_server, each.url)))
    if found:
        found.append(Diagnostic("worker.shutdown_grace", at_once(partial(_grace, settings, leave_often))))
    return found


def _command(command: Command) -> Finding:
    """Whether it can be started, as its worker would start it, from this folder."""
    try:
        return ok(command.check())
    except NotStartable as problem:
        what, _, advice = str(problem).partition(": ")[2].partition("; ")
        return fail(what, advice)


async def _server(url: str) -> Finding:
    """Whether somebody accepts connections there; nothing is asked."""
    from gridsidecar.handler.http import not_reached  # loads an HTTP client

    problem = await not_reached(url, LONGEST_CONNECT)
    if problem is not None:
        return fail(problem, "start it, or correct `url`; its tasks wait until it is there")
    return ok(f"{masked_url(url)} accepts connections")


def _grace(settings: Settings, leave_often: bool) -> Finding:
    """Whether a task may come to its end after SIGTERM."""
    grace = settings.worker.shutdown_grace
    cut = sorted(name for name, each in settings.handlers.items() if _may_outlast(each, grace))
    if not cut:
        return ok(f"{grace:g} s are longer than any handler's timeout")
    if not leave_often:
        return ok(f"{grace:g} s: tasks of {', '.join(cut)} that take longer than that when a worker leaves start again")
    return warn(
        f"{grace:g} s: tasks of {', '.join(cut)} may take longer; when a worker leaves they are given back",
        "raise worker.shutdown_grace above timeout + kill_grace, unless they may well start again",
    )


def _may_outlast(handler: HandlerSettings, grace: float) -> bool:
    stopping = 0 if handler.mode == "http" else handler.kill_grace  # a closed connection has none
    return handler.timeout == 0 or handler.timeout + stopping > grace
