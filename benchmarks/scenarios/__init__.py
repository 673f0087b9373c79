"""What can be measured, by name."""

from __future__ import annotations

from benchmarks.bench import Scenario
from benchmarks.scenarios import (
    concurrency,
    handlers,
    latency,
    lists,
    many,
    memory,
    page,
    peers,
    punctual,
    table_size,
    waiting,
)

SCENARIOS: dict[str, Scenario] = {
    each.name: each
    for each in (
        peers.SCENARIO,
        latency.SCENARIO,
        concurrency.CONCURRENCY,
        concurrency.WARM,
        many.SCENARIO,
        memory.SCENARIO,
        table_size.SCENARIO,
        page.SCENARIO,
        lists.SCENARIO,
        waiting.DELAYED,
        punctual.SCENARIO,
        waiting.CALLBACKS,
        handlers.TYPES,
        handlers.DISTANT,
        handlers.FLOOD,
    )
}
