"""The options that say which configuration a command works with, and what each comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gridsidecar.errors import UsageError

DEFAULT_FILE = "config.yaml"

ConfigFile = Annotated[
    str | None, typer.Option("-c", "--config", help="The configuration file; config.yaml where there is one.")
]

Url = Annotated[
    str | None,
    typer.Option(
        "-u", "--url", help="broker.url. Every user of this machine can read its password (ps): better --url-file."
    ),
]
UrlFile = Annotated[
    str | None,
    typer.Option(help="The file that holds broker.url, read again at a reconnect; or set GRID_ASYNC_TASK_AMQP_URL."),
]


def config_file(given: str | None) -> str | None:
    """The file to read: the one given, else config.yaml where it exists, else none (flags and variables may do)."""
    return given or (DEFAULT_FILE if Path(DEFAULT_FILE).is_file() else None)


def command_flag(command: list[str] | None, config: str | None) -> dict[str, object]:
    """The default handler of a command line: its own, or the one of a file that is named with another command.

    A config.yaml that only lies around speaks of a command of its own, whose mode and channels mean nothing here.
    """
    if not command:
        return {}
    return {"handlers.default": {"command": command}} if config is None else {"handlers.default.command": command}


def url_flag(url: str | None, url_file: str | None) -> object:
    """What the two flags say of broker.url."""
    from gridsidecar.config.secret_files import InFile

    if url is not None and url_file is not None:
        raise UsageError("--url and --url-file exclude each other")
    return url if url_file is None else InFile(url_file)
