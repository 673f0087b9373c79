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
_PACKAGES = ("uvloop", "aio-pika", "aiormq", "aiomysql", "celery", "dramatiq", "pika", "matplotlib")
_DURABILITY = ("innodb_flush_log_at_trx_commit", "sync_binlog", "innodb_buffer_pool_size", "innodb_flush_method")


@dataclass(frozen=True)
class Results:
    """Figures of scenarios, and of each of them when, where, and with what it was measured."""

    scenarios: dict[str, Measured]
    about: dict[str, dict[str, Any]]

    def add(self, scenario: str, measured: Measured, about: dict[str, Any]) -> None:
        self.scenarios[scenario], self.about[scenario] = measured, about

    def take(self, newer: Results) -> None:
        """Scenarios that were measured anew take the place of what was known of them; the others stay."""
        for name, measured in newer.scenarios.items():
            self.add(name, measured, newer.about[name])

    def figures(self, scenario: str, contestant: str, figure: str) -> list[Any] | None:
        """Its value in each round; None where it was not measured."""
        return self.scenarios.get(scenario, {}).get(contestant, {}).get(figure)

    @classmethod
    def read(cls, folder: Path) -> Results:
        content = json.loads((folder / FILE).read_text())
        return cls(
            {name: each["figures"] for name, each in content.items()},
            {name: each["about"] for name, each in content.items()},
        )

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        content = {name: {"about": self.about[name], "figures": each} for name, each in self.scenarios.items()}
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
