"""`gridsidecar health` as the other commands see it; what runs it is `probe`."""

from __future__ import annotations

from typing import Annotated

import typer

from gridsidecar.runtime import probe

EPILOG = """
For the exec probes of a container: it costs next to nothing, and asks no server.

Exit codes: 0 it is, 1 it is not, and a sentence why; 64 usage.
"""


def health(
    file: Annotated[str, typer.Argument(help="worker.heartbeat_file of the sidecar.")] = probe.DEFAULT_FILE,
    ready: Annotated[bool, typer.Option("--ready", help="Whether it takes tasks, not only whether it lives.")] = False,
) -> None:
    """Say whether a sidecar on this machine lives, by the heartbeat file that it writes.

    It lives while a restart would not help it: also while its servers are away.
    """
    code = probe.main([*(["--ready"] if ready else []), file])
    if code:
        raise typer.Exit(code)
