"""What the measured cost of a task says about larger loads."""

from __future__ import annotations

from math import ceil
from statistics import median

from benchmarks.results import Results
from benchmarks.scenarios.peers import ONESHOT_16, WARM_16

STEPS = (1, 10, 100, 1000)
BASE_RATE = 100  # tasks a second, the 1 × of the table
BUSY = 0.7  # of a core, as far as one plans
_PARTS = {"cpu_own": "sidecar", "cpu_commands": "handlers", "cpu_database": "database", "cpu_broker": "RabbitMQ"}


def costs(found: Results, contestant: str) -> dict[str, float]:
    """Milliseconds of CPU for a task, by process."""
    return {
        name: median(values)
        for figure, name in _PARTS.items()
        if (values := found.figures("peers", contestant, figure)) is not None
    }


def cost(found: Results) -> str:
    """A table of what a task costs, and what a core of each kind therefore carries."""
    lines = ["| ms of CPU a task | " + " | ".join(_PARTS.values()) + " | all | tasks/s that a core carries |"]
    lines.append("|---" + "|---:" * (len(_PARTS) + 2) + "|")
    for name in (ONESHOT_16, WARM_16):
        if not (parts := costs(found, name)):
            continue
        cells = [f"{parts.get(part, 0):.2f}" for part in _PARTS.values()]
        total = sum(parts.values())
        lines.append(f"| {name} | {' | '.join(cells)} | {total:.2f} | {1000 / total:,.0f} |")
    return "\n".join(lines)


def steps(found: Results) -> str:
    """Cores by process for 1 × to 1,000 × the base rate, each planned to be busy for 70 % of the time."""
    lines = [
        "| tasks a second | mode | " + ", cores | ".join(_PARTS.values()) + ", cores |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for step in STEPS:
        for name, mode in ((ONESHOT_16, "oneshot"), (WARM_16, "persistent")):
            if not (parts := costs(found, name)):
                continue
            cores = [step * BASE_RATE * parts.get(part, 0) / 1000 / BUSY for part in _PARTS.values()]
            cells = [f"{each:.2f}" if each < 1 else f"{each:.1f}" if each < 10 else f"{ceil(each):,}" for each in cores]
            lines.append(f"| {step * BASE_RATE:,} | {mode} | {' | '.join(cells)} |")
    return "\n".join(lines)
