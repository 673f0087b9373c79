"""The results of a run as one JSON file: figures of each round, and what they were measured on."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.rounds import Measured
from benchmarks.servers import Servers

FILE = "results.json"
_PACKAGES = ("uvloop", "aiormq", "aiomysql", "celery", "dramatiq", "pika", "matplotlib")
_DURABILITY = ("innodb_flush_log_at_trx_commit", "sync_binlog", "innodb_buffer_pool_size", "innodb_flush_method")


@dataclass(frozen=True)
class Results:
    """`about` says when, where, and with what."""

    about: dict[str, Any]
    scenarios: dict[str, Measured]

    def figures(self, scenario: str, contestant: str, figure: str) -> list[Any] | None:
        """Its value in each round; None where it was not measured."""
        return self.scenarios.get(scenario, {}).get(contestant, {}).get(figure)

    @classmethod
    def read(cls, folder: Path) -> Results:
        return cls(**json.loads((folder / FILE).read_text()))

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        content = {"about": self.about, "scenarios": self.scenarios}
        (folder / FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def about(servers: Servers, folders: Sequence[Path], rounds: int) -> dict[str, Any]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commits": {("against" if number else "this"): commit(folder) for number, folder in enumerate(folders)},
        "rounds": rounds,
        "machine": _machine(),
        "versions": _versions(servers),
        "database": _variables(servers),
    }


def commit(folder: Path) -> str:
    """Short; ends with `+` where files differ from it."""
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"], cwd=folder, capture_output=True, text=True
    )
    return answer.stdout.strip() or "unknown"


def _machine() -> dict[str, Any]:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "cpu": found[1] if found else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "system": f"{platform.system()} {platform.release()}",
        "load_before": os.getloadavg()[0],
    }


def _versions(servers: Servers) -> dict[str, str]:
    with servers.channel() as channel:
        broker = channel.connection._impl.server_properties["version"]  # pika shows it nowhere else
    with servers.session() as run:
        database = str(run("SELECT VERSION()")[0][0])
    installed = {name: metadata.version(name) for name in _PACKAGES if _is_installed(name)}
    return {"Python": platform.python_version(), "RabbitMQ": broker, "database": database, **installed}


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _variables(servers: Servers) -> dict[str, str]:
    with servers.session() as run:
        return {name: str(value) for name, value in run("SHOW VARIABLES") if name in _DURABILITY}
