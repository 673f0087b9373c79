"""`--server`: whether a command asks the HTTP API, or the servers of a configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gridsidecar.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from gridsidecar.cli.context import ConfigPart
    from gridsidecar.fleet import Where
    from gridsidecar.fleet.remote import ServerAddress

SERVER, TOKEN = "GRIDSIDECAR_SERVER", "GRIDSIDECAR_HTTP_TOKEN"  # names of variables

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        help=f"Ask the HTTP API at this address, not the servers of a configuration; or {SERVER}. The token is in "
        f"{TOKEN}, or in the file that {TOKEN}_FILE names.",
        metavar="URL",
    ),
]


def where(
    server: str | None,
    config: str | None,
    *needed: ConfigPart,
    url: object = None,
    queue: str | None = None,
    has_store: bool = True,
) -> Where:
    """`url` is what `cli.config_options.url_flag` gives. UsageError where flags contradict each other, ConfigError
    where the configuration is asked and wrong."""
    from gridsidecar.fleet import Where

    address = _address(server, config, url, queue)
    if address is not None:
        from gridsidecar import telemetry

        telemetry.configure("WARNING", "console")
        return Where(address=address)
    from gridsidecar.cli.context import load_parts

    flags = {"broker.url": url, "broker.queue": queue}
    given: dict[str, object] = {key: value for key, value in flags.items() if value is not None}
    return Where(load_parts(config, *needed, flags=given), has_store=has_store)


def where_with_any_store(server: str | None, config: str | None, *, url: object, queue: str | None) -> Where:
    """For what needs the broker, and a store only where the configuration names one."""
    try:
        return where(server, config, "broker", "store", url=url, queue=queue)
    except ConfigError as error:
        if not all(fault.key == "store.url" and fault.value is None for fault in error.faults):
            raise
        return where(server, config, "broker", url=url, queue=queue, has_store=False)


def _address(server: str | None, config: str | None, url: object, queue: str | None) -> ServerAddress | None:
    """A flag that names other servers counts more than the variable."""
    named = [flag for flag, value in (("--config", config), ("--url", url)) if value is not None]
    if server is None and not named:
        server = os.environ.get(SERVER) or None
    if server is None:
        return None
    named += ["--queue"] if queue is not None else []
    if named:
        raise UsageError(f"--server and {named[0]} exclude each other: the server has a configuration and a queue")
    from gridsidecar.fleet.remote import ServerAddress

    return ServerAddress(server, _token())


def _token() -> str | None:
    token, file = os.environ.get(TOKEN), os.environ.get(f"{TOKEN}_FILE")
    if token or not file:
        return token or None
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{TOKEN}_FILE: cannot read {file}: {getattr(error, 'strerror', error)}") from None
