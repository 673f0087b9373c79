"""What contradicts itself in the settings of one handler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from gridsidecar.config.handler_url import read_handler_url
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.config.yaml_tree import KeyPath
from gridsidecar.rules.rate import rate_problem

SettingProblem = tuple[KeyPath, str]


def handler_problems(at: KeyPath, handler: HandlerSettings) -> Iterator[SettingProblem]:
    """Every key that cannot work, and why."""
    match handler.mode:
        case "oneshot":
            yield from _command(at, handler)
        case "persistent":
            yield from _command(at, handler)
            yield from _persistent(at, handler)
        case "http":
            yield from _server(at, handler)
        case _:
            assert_never(handler.mode)
    for name, value in handler.env.items():
        if not name or "=" in name or "\0" in name + value:
            yield (*at, "env", name), "the name must not be empty or contain =, and neither part a NUL character"
    if handler.rate is not None and (rate := rate_problem(handler.rate)) is not None:
        yield (*at, "rate"), rate
    both = sorted(set(handler.exit_codes.retry) & set(handler.exit_codes.permanent))
    if both:
        yield (
            (*at, "exit_codes", "permanent"),
            f"exit code {both[0]} is also in exit_codes.retry: keep it in one of them",
        )


def _command(at: KeyPath, handler: HandlerSettings) -> Iterator[SettingProblem]:
    if not handler.command:
        yield (*at, "command"), "is required: it must be a list with at least one item; a server needs mode: http"
    elif not handler.command[0].strip():
        yield (*at, "command"), "the first item must name a program"
    if any("\0" in word for word in handler.command):
        yield (*at, "command"), "must not contain NUL characters"
    if handler.url is not None:
        yield (*at, "url"), f"means nothing with mode: {handler.mode}: leave it out, or set mode: http"


def _persistent(at: KeyPath, handler: HandlerSettings) -> Iterator[SettingProblem]:
    for key, needed in (("input", "task"), ("result_from", "events")):
        if getattr(handler, key) != needed:
            yield (
                (*at, key),
                f"must be {needed} with mode: persistent, where each message says which task it is about",
            )


def _server(at: KeyPath, handler: HandlerSettings) -> Iterator[SettingProblem]:
    if handler.command:
        yield (*at, "command"), "must be left out with mode: http, where the server runs already, at url"
    if handler.channel == "events":
        yield (*at, "channel"), "must not be events with mode: http: a server's messages are in its answer"
    if handler.url is None:
        yield (*at, "url"), "is required with mode: http, such as http://127.0.0.1:8000/tasks"
        return
    try:
        read_handler_url(handler.url)
    except ValueError as error:
        yield (*at, "url"), str(error)
