"""`python -m benchmarks [SCENARIO…]` measures; `python -m benchmarks report DIR` shows results in the pages."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import environment

USAGE = """python -m benchmarks [SCENARIO…] [--rounds N] [--tasks N] [--against PATH] [--processes N] [--smoke]
                            [--out DIR]
       python -m benchmarks report DIR"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", usage=USAGE, description=environment.ABOUT)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="all, where none is named; `list` lists them")
    parser.add_argument("--rounds", type=_positive, help="rounds in which all take turns (default 5; smoke: 1)")
    parser.add_argument("--tasks", type=_positive, help="tasks a turn (default: each scenario's own number)")
    parser.add_argument("--against", type=Path, metavar="PATH", help="another checkout of gridsidecar takes part")
    parser.add_argument("--processes", metavar="N", help="worker.processes of the sidecar; without it, none is set")
    parser.add_argument("--smoke", action="store_true", help="few tasks, and only those peers that are installed")
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"), help="folder for results and pictures")
    asked = parser.parse_args(arguments)
    environment.enter(with_peers=not asked.smoke and "report" not in asked.scenarios)

    from benchmarks import run  # needs what has just been made sure of

    match asked.scenarios:
        case ["list"]:
            return run.list_scenarios()
        case ["report", folder]:
            return run.report(Path(folder))
        case _:
            return run.measure(asked)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
