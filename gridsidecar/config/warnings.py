"""What works, but hardly as it is meant: told at the start, and by `config validate`."""

from __future__ import annotations

from collections.abc import Iterator

from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.config.mysql_url import options_without_effect
from gridsidecar.config.settings import Settings
from gridsidecar.config.urls import AMQP_OPTIONS, amqp_options

SHORTEST_CONSUMER_TIMEOUT = 60.0  # seconds: what RabbitMQ supports
SHORT_LEASE = 10.0  # seconds
INSTEAD = {"heartbeat": "broker.heartbeat", "queue": "broker.queue", "prefetch": "worker.prefetch"}
LONGEST_EVENT = 4 * 1024 * 1024  # bytes
OF_A_PROCESS = ("cwd", "env", "pass_env", "limits", "exit_codes", "kill_grace", "persistent")


LEVELS = ("DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL")


def warnings(settings: Settings, given_level: object = None) -> Iterator[tuple[str, str]]:
    """A key, and what to know about its value. `given_level` is log.level as somebody wrote it, perhaps for the handler
    beside us."""
    if given_level is not None and str(given_level).strip().upper() not in LEVELS:
        yield "log.level", f"{given_level} is the level of another program; here it means {settings.log.level}"
    for key in sorted({key for url in settings.broker.urls for key in amqp_options(url)} - AMQP_OPTIONS):
        yield "broker.url", f"the option {key[:40]} after the ? is not known, and has no effect{_instead(key)}"
    if not settings.broker.embedded and settings.broker.consumer_timeout < SHORTEST_CONSUMER_TIMEOUT:
        yield (
            "broker.consumer_timeout",
            "no RabbitMQ takes a message back within a minute; tasks that run for longer than half of this leave the "
            "queue early, so that a scaler sees them in the database only",
        )
    if settings.store.url.startswith("mysql"):
        for name, instead in options_without_effect(settings.store.url):
            yield "store.url", f"{name} has no effect: {instead}"
    if settings.worker.lease < SHORT_LEASE:
        yield (
            "worker.lease",
            "a database that is slow for so long lets other workers take over tasks that still run; 60 is usual",
        )
    if settings.worker.unknown_types == "pass_on" and "default" in settings.handlers:
        yield "worker.unknown_types", "handlers.default takes every type, so that nothing is passed on"
    for name, handler in settings.handlers.items():
        for key, hint in _handler(handler, settings.worker.concurrency):
            yield f"handlers.{name}.{key}", hint


def _instead(option: str) -> str:
    return f": set {INSTEAD[option]}" if option in INSTEAD else ""


def _handler(handler: HandlerSettings, concurrency: int) -> Iterator[tuple[str, str]]:
    if handler.concurrency > concurrency:
        yield "concurrency", f"no more than worker.concurrency, {concurrency}, run at the same time"
    if handler.persistent.concurrency > concurrency:
        yield "persistent.concurrency", f"no more than worker.concurrency, {concurrency}, run at the same time"
    if handler.mode == "http":
        for key in OF_A_PROCESS:
            if getattr(handler, key) != type(handler).model_fields[key].default:
                yield key, "no effect with mode: http: the server is not ours to start or to end"
    if handler.mode == "oneshot":
        for key, field in type(handler.persistent).model_fields.items():
            if getattr(handler.persistent, key) != field.default:
                hint = "a oneshot handler has a process for each task; mode: persistent shares one"
                yield f"persistent.{key}", hint
    if 0 < handler.timeout <= handler.stall_timeout:
        yield "stall_timeout", f"the timeout, {handler.timeout:g} s, always comes first"
    if handler.result_from == "events" and handler.max_result_bytes > LONGEST_EVENT:
        yield "max_result_bytes", f"an event of more than {LONGEST_EVENT} bytes is discarded, and its result with it"
