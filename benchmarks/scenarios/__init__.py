"""What can be measured, by name."""

from __future__ import annotations

from benchmarks.bench import Scenario
from benchmarks.scenarios import peers

SCENARIOS: dict[str, Scenario] = {each.name: each for each in (peers.SCENARIO,)}
