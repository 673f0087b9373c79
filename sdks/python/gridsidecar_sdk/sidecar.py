"""Turns this process into the sidecar, with this script as its handler."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from gridsidecar_sdk.variables import PREFIX, read_variables

BINARY = "GRIDSIDECAR_BIN"
CONFIG = "GRIDSIDECAR_CONFIG"
TIMEOUT = 3600  # seconds of one attempt, as in the earlier plugin
_TIMEOUT, _PREFETCH = f"{PREFIX}TIMEOUT", f"{PREFIX}PREFETCH_COUNT"

# Addresses and passwords of broker and database are the sidecar's alone.
_SECRET = {f"{PREFIX}AMQP_URL", f"{PREFIX}MYSQL_URL"} | {
    f"{server}_{part}"
    for server in ("RABBITMQ", "MYSQL")
    for part in ("HOST", "PORT", "DATABASE", "USERNAME", "USER", "PASSWORD", "VHOST")
}


class Options(NamedTuple):
    """What a script gives to its TaskProcessor. A variable wins over a value that is the default."""

    max_retry_count: int = 3
    retry_delay: float = 60
    progress_interval: float = 10
    prefetch_count: int = 1
    concurrency: int = 1


def become_sidecar(options: Options) -> NoReturn:
    """Replace this process: signals and the exit code are the sidecar's from now on."""
    named = os.environ.get(BINARY)
    binary = shutil.which(named or "gridsidecar")
    if binary is None:
        missing = f"{BINARY}={named} is no program" if named else "gridsidecar is not on the PATH"
        advice = f"install it, best into an environment of its own, and name its command in {BINARY}"
        print(f"{missing}: {advice}", file=sys.stderr)
        sys.exit(78)
    variables = read_variables()
    environment, file = _environment(variables), os.environ.get(CONFIG)
    if not file:
        file = _in_memory(configuration(options, variables))
        environment |= {_TIMEOUT: "", _PREFETCH: ""}  # they are in there; empty, as a `.env` may have them, too
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execve(binary, [binary, "run", "-c", file], environment)  # noqa: S606


def configuration(options: Options, variables: Mapping[str, str]) -> dict[str, Any]:
    """What the variables do not say."""
    config: dict[str, dict[str, Any]] = {
        "store": {},
        "retry": {},
        "worker": {"concurrency": max(options.prefetch_count, options.concurrency)},
        "handlers": {"default": _handler(variables, options.concurrency)},
    }
    defaults = Options()
    if _PREFETCH in variables and options.prefetch_count == defaults.prefetch_count:
        config["worker"]["concurrency"] = variables[_PREFETCH]  # as a text: the sidecar checks it
    if f"{PREFIX}MAX_RETRY_COUNT" not in variables or options.max_retry_count != defaults.max_retry_count:
        config["retry"]["max_retries"] = options.max_retry_count
    if f"{PREFIX}RETRY_DELAY" not in variables or options.retry_delay != defaults.retry_delay:
        config["retry"]["delay"] = options.retry_delay
    # The earlier plugin's table; an empty prefix in a variable is a choice, too.
    if f"{PREFIX}TABLE_PREFIX" not in variables:
        config["store"]["table_prefix"] = ""
    if f"{PREFIX}TABLE_NAME" not in variables:
        config["store"]["table_name"] = "grid_async_tasks"
    if f"{PREFIX}PROGRESS_INTERVAL" in variables and options.progress_interval == defaults.progress_interval:
        return config
    return {**config, "progress_interval": options.progress_interval}


def _handler(variables: Mapping[str, str], concurrency: int) -> dict[str, Any]:
    persistent = {"ready_timeout": 300}  # what such scripts load at their start was never under a limit
    if concurrency > 1:
        persistent["concurrency"] = concurrency
    return {
        "command": this_command(),
        "cwd": os.getcwd(),
        "mode": "persistent",
        "timeout": variables.get(_TIMEOUT) or TIMEOUT,
        "pass_env": sorted(name for name in {*os.environ, *variables} if _may_pass(name)),
        "persistent": persistent,
    }


def _may_pass(name: str) -> bool:
    return name not in _SECRET and not name.startswith("GRIDSIDECAR") and name.isidentifier()


def this_command() -> list[str]:
    """How this script was started."""
    if hasattr(sys, "orig_argv"):  # since Python 3.10
        return [sys.executable, *sys.orig_argv[1:]]
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        return [sys.executable, *sys.argv]
    module = spec.name[: -len(".__main__")] if spec.name.endswith(".__main__") else spec.name
    return [sys.executable, "-m", module, *sys.argv[1:]]


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The servers of the earlier plugin were on this machine where nothing named them."""
    environment = dict(os.environ)
    for url, host in ((f"{PREFIX}AMQP_URL", "RABBITMQ_HOST"), (f"{PREFIX}MYSQL_URL", "MYSQL_HOST")):
        if url not in variables and host not in variables:
            environment[host] = "localhost"
    return environment


def _in_memory(config: Mapping[str, Any]) -> str:
    """The path of a file without a place on disk, which the next program of this process can read."""
    file = os.memfd_create("gridsidecar.yaml", 0)
    os.write(file, json.dumps(config).encode())  # JSON is YAML
    return f"/proc/self/fd/{file}"
