"""A configuration, and what is printed of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from gridsidecar.manifests import KINDS, Application, read_source
from gridsidecar.manifests.suitability import KUBERNETES

PODS = ["deployment", "job", "cronjob"]
CONFIG: dict[str, Any] = {
    "broker": {"url": "${AMQP_URL}", "queue": "resize"},
    "store": {"url": "${MYSQL_URL}", "table_prefix": "own_"},
    "worker": {"concurrency": 7, "heartbeat_file": "/tmp/alive", "shutdown_grace": 400, "lease": 30},
    "handlers": {
        "default": {"command": ["node", "handler.js"], "kill_grace": 20, "pass_env": ["MODEL_KEY", "PATH"]},
        "fast": {"command": ["./fast", "--token", "${FAST_TOKEN}"], "timeout": 5},
    },
    "hooks": {"on_shutdown": ["true"], "timeout": 25},
}


def application(file: Path, kind: str, environ: dict[str, str] | None = None, **wishes: Any) -> Application:
    source = read_source(str(file), environ or {}, shown=kind in KUBERNETES)
    given = {
        "name": "resizer",
        "secret": "logins",
        "image": "example.org/resizer:1",
        "made_by": "gridsidecar manifests",
    }
    return Application(source=source, **(given | ({"schedule": "*/5 * * * *"} if kind == "cronjob" else {}) | wishes))


def objects(app: Application, kind: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(KINDS[kind](app)))


def pod(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The spec of the one template of pods."""

    def specs(value: Any) -> Iterator[dict[str, Any]]:
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from specs(item)
        if isinstance(value, dict) and "containers" in value:
            yield value

    (one,) = specs(found)
    return one
