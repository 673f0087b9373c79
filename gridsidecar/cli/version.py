"""`gridsidecar version`."""

from __future__ import annotations

import typer

from gridsidecar import __version__


def version() -> None:
    """Print the version."""
    typer.echo(f"gridsidecar {__version__}")
