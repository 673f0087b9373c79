"""What a configuration must be for each way to run it: all that contradicts is said at once."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from pathlib import Path

from gridsidecar.config.settings import Settings
from gridsidecar.config.urls import sqlite_path
from gridsidecar.errors import Fault
from gridsidecar.manifests.application import HEARTBEAT, WRITABLE, Application, is_local

Unsuitability = tuple[str, str]  # a key, and what is wrong with it
KUBERNETES = ("deployment", "job", "cronjob")
PRIVATE = ("/tmp", "/var/tmp")  # noqa: S108  # of a unit with PrivateTmp
_BESIDE = "nothing listens there in the sidecar's container: run the app beside it (--container), or name a host"
_NAME_ITS_HOST = "nothing listens there in the sidecar's container: name the app's service, as in http://app:8000/tasks"
_LEAVING = "whoever leaves by itself is started again, and again: leave it out, or take job or cronjob"


def faults(kind: str, app: Application) -> list[Fault]:
    found = [app.source.fault(key, problem) for key, problem in _problems(kind, app)]
    return [*_hidden(app), *found] if kind == "systemd" else found


def doubts(kind: str, app: Application) -> Iterator[str]:
    """What works, but hardly as it is meant."""
    if kind == "systemd":
        if not _all_may_read(file := Path(app.source.path).resolve()):
            yield f"the service runs as a user of its own, who may not read {file}: put it into /etc/{app.name}"
        if (program := Path(app.installed)).exists() and not _all_may_read(program.absolute()):
            yield f"the service runs as a user of its own, who may not run {program}: install it in /opt/{app.name}"
    settings = app.settings
    for name, handler in settings.handlers.items():
        longest = (handler.timeout or inf) + handler.kill_grace
        if kind == "deployment" and longest > settings.worker.shutdown_grace:
            yield (
                f"worker.shutdown_grace is {settings.worker.shutdown_grace:g} s and a task of handlers.{name} may take "
                f"{longest:g} s: it is cut short and given back when its pod goes; raise it above that, or take job"
            )


def _all_may_read(file: Path) -> bool:
    return bool(file.stat().st_mode & 0o004) and all(folder.stat().st_mode & 0o001 for folder in file.parents)


def _problems(kind: str, app: Application) -> Iterator[Unsuitability]:
    match kind:
        case "systemd":
            yield from _of_files(app)
            yield from _staying(app.settings)
        case "compose":
            yield from _servers(app.settings, "the file has a RabbitMQ and a MySQL of its own")
            yield from _of_variables(app)
            yield from _local_urls(app.settings, _NAME_ITS_HOST)
            yield from _heartbeat(app)
            yield from _staying(app.settings)
        case "secret":
            yield from _servers(app.settings, "there is nothing to log in to")
        case _:
            yield from _servers(app.settings, "a file of one pod is not there for the next")
            yield from _heartbeat(app)
            yield from _unmounted(app.settings)
            yield from _leaving(kind, app)
            yield from _queue(kind, app)
            yield from _beside_the_app(app) if app.container else _local_urls(app.settings, _BESIDE)


def _servers(settings: Settings, why: str) -> Iterator[Unsuitability]:
    if settings.broker.embedded:
        yield "broker.url", f"is an SQLite file, and {why}: write ${{AMQP_URL}}"
    if settings.store.url.startswith("sqlite"):
        yield "store.url", f"is an SQLite file, and {why}: write ${{MYSQL_URL}}"


def _of_variables(app: Application) -> Iterator[Unsuitability]:
    for key, url in (("broker.url", app.settings.broker.urls[0]), ("store.url", app.settings.store.url)):
        if not url.startswith("sqlite") and key not in app.source.addresses:
            variable = "${AMQP_URL}" if key == "broker.url" else "${MYSQL_URL}"
            yield (
                key,
                f"must be a variable, for the address of the server that compose starts: {variable}",
            )


def _heartbeat(app: Application) -> Iterator[Unsuitability]:
    """The file wins over our variable, with `null` too."""
    key = "worker.heartbeat_file"
    off = app.settings.worker.heartbeat_file is None and tuple(key.split(".")) in app.source.lines
    if off or Path(app.heartbeat).parent != Path(WRITABLE):
        yield key, f"is what the probes read: leave it out, or write {HEARTBEAT}"


def _unmounted(settings: Settings) -> Iterator[Unsuitability]:
    for name in ("token_file", "read_token_file"):
        if getattr(settings.http, name) is not None:
            yield f"http.{name}", "no pod has this file: write http.token or http.read_token with a variable"
    if settings.log.dir is not None and not Path(settings.log.dir).is_relative_to(WRITABLE):
        yield "log.dir", "no pod may write there: leave it out, the log is on stderr"


def _queue(kind: str, app: Application) -> Iterator[Unsuitability]:
    queue = app.settings.broker.queue
    if kind in ("deployment", "job") and set("'\"\\") & set(queue):
        yield "broker.queue", "has a quote or a backslash in it, which KEDA's query cannot have: choose another name"


def _staying(settings: Settings) -> Iterator[Unsuitability]:
    if settings.worker.burst:
        yield "worker.burst", _LEAVING
    if settings.worker.idle_timeout:
        yield "worker.idle_timeout", _LEAVING


def _leaving(kind: str, app: Application) -> Iterator[Unsuitability]:
    worker, stated = app.settings.worker, ("worker", "idle_timeout") in app.source.lines
    if kind == "deployment":
        yield from _staying(app.settings)
    elif kind == "job":
        if worker.burst:
            yield "worker.burst", "a Job runs one task (--once): leave it out, or take cronjob"
        if worker.processes not in (1, "auto"):
            yield "worker.processes", "a Job runs one task: set it to 1"
        if stated and worker.idle_timeout < 2 * worker.lease:
            yield (
                "worker.idle_timeout",
                f"a Job must stay for two leases to notice a dead worker: leave it out, or set it to "
                f"{2 * worker.lease:g} or more",
            )


def _local_urls(settings: Settings, problem: str) -> Iterator[Unsuitability]:
    for name, handler in settings.handlers.items():
        if handler.url is not None and is_local(handler.url):
            yield f"handlers.{name}.url", problem


def _beside_the_app(app: Application) -> Iterator[Unsuitability]:
    for name, handler in app.settings.handlers.items():
        if handler.url is None:
            yield (
                f"handlers.{name}.command",
                "the sidecar's own container has no programs of yours: set mode: http and url, or take --inject",
            )
        elif not is_local(handler.url):
            yield (
                f"handlers.{name}.url",
                "the app is in the same pod: write http://127.0.0.1:PORT/path or unix:///run/…",
            )
    for folder in app.sockets:
        if Path(folder) in (Path("/"), Path(WRITABLE)):
            name = next(key for key, each in app.settings.handlers.items() if folder in str(each.url))
            yield (
                f"handlers.{name}.url",
                "a socket needs a folder of its own, which both containers share: unix:///run/app/…",
            )


def _of_files(app: Application) -> Iterator[Unsuitability]:
    """A unit may write to the folders that systemd makes for it."""
    logs, settings = f"/var/log/{app.name}", app.settings
    files = [
        (key, sqlite_path(url), app.kept(url))
        for key, url in (("broker.url", settings.broker.urls[0]), ("store.url", settings.store.url))
        if url.startswith("sqlite")
    ]
    if settings.log.dir is not None:
        files.append(("log.dir", settings.log.dir, logs))
    for key, file, better in files:
        if not any(Path(file).is_relative_to(folder) for folder in (app.state, logs)):
            yield key, f"the service may write below {app.state} and {logs}: write {better}"


def _hidden(app: Application) -> Iterator[Fault]:
    """What stands where a unit has a folder of its own."""
    config, program = Path(app.source.path).resolve(), Path(app.installed).absolute()
    for folder in PRIVATE:
        if config.is_relative_to(folder):
            yield Fault(
                "",
                f"the service has a {folder} of its own, without this file: put it, and what its commands name, "
                f"into /etc/{app.name}",
                source=app.source.path,
            )
        if program.is_relative_to(folder):
            yield Fault(
                "program",
                f"the service has a {folder} of its own, without gridsidecar: install it in /opt/{app.name}",
                str(program),
            )
