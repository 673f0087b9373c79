"""The variables that say where queue and database are: of the environment, and of `.env` in the current folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import quote

PREFIX = "GRID_ASYNC_TASK_"
DEFAULT_QUEUE = "task_queue"
_VALUE = r"""(?:"([^"]*)"|'([^']*)'|(.*?))"""
_LINE = re.compile(rf"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*{_VALUE}\s*(?:\s#.*)?$")


def read_variables(environ: Mapping[str, str] = os.environ, dotenv: str = ".env") -> dict[str, str]:
    """Those that are set to something; the environment wins. A port as Kubernetes sets it (`tcp://…`) is none."""
    return {
        **{name: value for name, value in _read_dotenv(dotenv).items() if value},
        **{name: value for name, value in environ.items() if value and not _is_kubernetes_port(name, value)},
    }


def _is_kubernetes_port(name: str, value: str) -> bool:
    return name in ("RABBITMQ_PORT", "MYSQL_PORT") and value.startswith("tcp://")


def _read_dotenv(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            matches = [_LINE.match(line.rstrip("\n")) for line in file]
    except (OSError, UnicodeDecodeError):
        return {}
    return {match[1]: match[2] or match[3] or match[4] or "" for match in matches if match}


def amqp_url(variables: Mapping[str, str]) -> str:
    """The broker's address, as the sidecar would put it together; localhost where nothing names it."""
    whole = variables.get(f"{PREFIX}AMQP_URL")
    if whole:
        return whole
    user = variables.get("RABBITMQ_USERNAME") or variables.get("RABBITMQ_USER") or "guest"
    password = variables.get("RABBITMQ_PASSWORD") or "guest"
    host = variables.get("RABBITMQ_HOST") or "localhost"
    port = variables.get("RABBITMQ_PORT") or "5672"
    vhost = quote(variables.get("RABBITMQ_VHOST") or "/", safe="")
    bracketed = f"[{host}]" if ":" in host else host
    return f"amqp://{quote(user, safe='')}:{quote(password, safe='')}@{bracketed}:{port}/{vhost}"


def queue_name(variables: Mapping[str, str]) -> str:
    return variables.get(f"{PREFIX}QUEUE") or variables.get("RABBITMQ_QUEUE") or DEFAULT_QUEUE


def queue_arguments(variables: Mapping[str, str]) -> dict[str, object]:
    """Of a queue that we have to create: those that the sidecar would give it."""
    if variables.get("GRIDSIDECAR_QUEUE_TYPE") == "quorum":
        return {"x-queue-type": "quorum"}
    most = int(variables.get("GRIDSIDECAR_MAX_PRIORITY") or 0)
    return {"x-max-priority": most} if most > 0 else {}
