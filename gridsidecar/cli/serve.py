"""`gridsidecar serve`: the HTTP API by itself."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from gridsidecar.cli.config_options import ConfigFile, Url, UrlFile, url_flag
from gridsidecar.errors import EX_OK, GridSidecarError, UsageError
from gridsidecar.runtime import signals

EPILOG = """
Examples:

gridsidecar serve -c config.yaml

gridsidecar serve -c config.yaml --listen 127.0.0.1:8080

Exit codes: 0 told to leave, 64 usage, 78 configuration, or the address cannot be listened on.
"""


def serve(
    config: ConfigFile = None,
    listen: Annotated[str | None, typer.Option(help="http.listen: host:port, or :port for every address.")] = None,
    url: Url = None,
    url_file: UrlFile = None,
    queue: Annotated[str | None, typer.Option("-q", "--queue", help="broker.queue")] = None,
) -> None:
    """Answer the HTTP API without taking any task: beside a fleet of workers, also one that is scaled to zero.

    A worker with http.listen answers the same API.
    """
    signals.obey(_leave_at_once)
    from gridsidecar import telemetry
    from gridsidecar.cli.context import load_parts

    flags: dict[str, object] = {"http.listen": listen, "broker.url": url_flag(url, url_file), "broker.queue": queue}
    settings = load_parts(config, "broker", "store", flags=flags)
    if settings.http.listen is None:
        raise UsageError("nothing says where to listen: set http.listen, or give --listen 127.0.0.1:8080")
    log = settings.log
    telemetry.configure(log.level, log.format, language=log.language)
    from gridsidecar.http import standalone

    try:
        code = standalone.serve(settings)
    except GridSidecarError as error:
        telemetry.error("cannot go on", reason=str(error))
        code = error.exit_code
    raise typer.Exit(code)


def _leave_at_once(*_: object) -> NoReturn:
    raise SystemExit(EX_OK)
