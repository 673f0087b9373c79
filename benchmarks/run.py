"""What the command does once everything it needs is there."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks import report as reports
from benchmarks import results
from benchmarks.bench import Bench
from benchmarks.environment import ROOT
from benchmarks.results import Results
from benchmarks.rounds import measure as rounds
from benchmarks.scenarios import SCENARIOS
from benchmarks.servers import Servers
from benchmarks.sidecar import Checkout
from tests.support.services import private_mysql, private_rabbitmq

ROUNDS = 5


def list_scenarios() -> int:
    for each in SCENARIOS.values():
        print(f"{each.name:<12} {each.title}")
    return 0


def report(folder: Path) -> int:
    """Show a run's results in the pages."""
    reports.publish(folder)
    print(f"written to {', '.join(reports.PAGES)} and {reports.SHOWN}/")
    return 0


def measure(asked: argparse.Namespace) -> int:
    """Run the scenarios, after each of which the results so far are written; print the report."""
    names = asked.scenarios or list(SCENARIOS)
    if unknown := set(names) - set(SCENARIOS):
        print(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}", file=sys.stderr)
        return 64
    count = asked.rounds or (1 if asked.smoke else ROUNDS)
    folders = [ROOT, *([asked.against.resolve()] if asked.against else [])]
    with private_rabbitmq() as broker, private_mysql() as database:
        servers = Servers(broker, database)
        bench = Bench(servers, _checkouts(folders), asked.smoke, asked.tasks, asked.processes)
        about, found = results.about(servers, folders, count), Results({}, {})
        for name in names:
            found.add(name, rounds(SCENARIOS[name], bench, count), about)
            found.write(asked.out)
            reports.draw(found, asked.out)
    print(reports.text(found))
    return 0


def _checkouts(folders: list[Path]) -> list[Checkout]:
    """The code of each folder, once it is sure that it is what would run."""
    checkouts = [Checkout(folder, f" @{results.commit(folder)}" if folder != ROOT else "") for folder in folders]
    for each in checkouts:
        command = [sys.executable, "-c", "import gridsidecar; print(gridsidecar.__file__)"]
        answer = subprocess.run(command, cwd=each.folder, env=each.environment(), capture_output=True, text=True)
        if not answer.stdout.startswith(str(each.folder)):
            raise SystemExit(f"{each.folder} is no checkout of gridsidecar that runs here:\n{answer.stderr}")
    return checkouts
