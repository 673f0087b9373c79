"""`gridsidecar doctor`: whether servers, handlers and manifests fit the configuration."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from gridsidecar.cli.config_options import ConfigFile, config_file
from gridsidecar.errors import EX_FAILED

EPILOG = """
Examples:

gridsidecar doctor -c config.yaml

gridsidecar doctor --only broker --only store.tls

gridsidecar doctor --manifest deployment.yaml --only kubernetes --strict

Exit codes: 0, 1 something fails (with --strict: or is a warning), 64 usage, 130 Ctrl-C.
"""


def doctor(
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else on stdout.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
    manifest: Annotated[
        str | None,
        typer.Option(help="What runs it: a manifest for Kubernetes, a compose file or a systemd unit.", metavar="FILE"),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A check, or an area such as broker; again for more.", metavar="ID")
    ] = None,
) -> None:
    """Look at everything that this configuration needs, and say what to do where something is wrong.

    Nothing is changed anywhere. Each check takes 3 seconds at most, whatever hangs.
    """
    from gridsidecar import telemetry
    from gridsidecar.cli.doctor_view import print_json, print_report
    from gridsidecar.clock import SystemClock
    from gridsidecar.doctor import examine

    telemetry.configure("ERROR", "console")
    report = asyncio.run(
        examine(config_file(config), environ=os.environ, clock=SystemClock(), manifest=manifest, only=tuple(only or ()))
    )
    print_json(report) if as_json else print_report(report)
    if report.failed(strict=strict):
        raise typer.Exit(EX_FAILED)
