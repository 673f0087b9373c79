"""The commands of a configuration, by key, as a worker here would start them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gridsidecar.config.settings import Settings
from gridsidecar.handler.command import Command, NotStartable
from gridsidecar.handler.env_variables import handler_environment, hook_environment

HOOKS = ("on_startup", "on_shutdown", "on_task_start", "on_task_end")


def commands_of(settings: Settings, environ: Mapping[str, str]) -> Iterator[tuple[str, Command]]:
    """Handlers, then hooks."""
    for name, each in settings.handlers.items():
        if each.mode != "http":
            yield (
                f"handlers.{name}",
                Command(name, tuple(each.command), each.cwd, handler_environment(each, environ)),
            )
    for name in HOOKS:
        if (argv := getattr(settings.hooks, name)) is not None:
            yield f"hooks.{name}", Command(name, tuple(argv), None, hook_environment(name, environ), kind="hook")


def missing_handler(settings: Settings, environ: Mapping[str, str], task_type: str) -> str | None:
    """Why a worker here could not start the handler of this type, so that its tasks would wait; None where it could, or
    this configuration has none."""
    name = task_type if task_type in settings.handlers else "default"
    command = dict(commands_of(settings, environ)).get(f"handlers.{name}")
    try:
        if command is not None:
            command.locate()
    except NotStartable as problem:
        return str(problem).partition(": ")[2]
    return None


def unstartable(settings: Settings, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The key of each command that cannot do its work here and now, and why."""
    for key, command in commands_of(settings, environ):
        try:
            command.check()
        except NotStartable as problem:
            yield (key if key.startswith("hooks.") else f"{key}.command"), str(problem).partition(": ")[2]
