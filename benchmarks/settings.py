"""What a measured sidecar is given, and what it runs; every scenario's settings come from here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.processes import HANDLER_MARK

HANDLERS = Path(__file__).parent / "handlers"
CONCURRENCIES = (1, 2, 4, 8, 16, 32, 64)
WARM_PROCESSES = (1, 2, 4, 8, 16)
MANY_AT_ONCE = (1, 8, 64)
MANY_WAIT_S = 0.02
DATABASE_AWAY_S = 0.005  # there and back
DISTANT_HANDLER_S = 0.02


def oneshot(*command: str, **keys: Any) -> dict[str, Any]:
    """A handler that is started for each task."""
    return {"command": list(command or ("cat",)), "env": {HANDLER_MARK: "1"}, **keys}


def persistent(script: str, *arguments: str, processes: int, **keys: Any) -> dict[str, Any]:
    """A handler of ours that stays; `script` is one of `handlers/`."""
    command = [sys.executable, str(HANDLERS / script), *arguments]
    return oneshot(*command, mode="persistent", persistent={"processes": processes}, **keys)


def config(
    urls: tuple[str, str],
    queue: str,
    handlers: dict[str, Any],
    concurrency: int,
    processes: str | None,
    listen: str | None = None,
) -> dict[str, Any]:
    """A sidecar's configuration. `urls` are broker and database; `processes` and `listen` are sent only where they are
    given."""
    worker: dict[str, Any] = {"concurrency": concurrency, "shutdown_grace": 1}  # nothing that matters runs by then
    if processes is not None:
        worker["processes"] = int(processes) if processes.isdecimal() else processes
    return {
        "broker": {"url": urls[0], "queue": queue},
        "store": {"url": urls[1]},
        "worker": worker,
        "handlers": handlers,
        "callbacks": {"allow": ["127.0.0.1"]},
        **({} if listen is None else {"http": {"listen": listen}}),
    }
