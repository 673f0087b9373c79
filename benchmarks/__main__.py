"""`python -m benchmarks line`."""

from __future__ import annotations

import argparse

from benchmarks import line


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    scenarios = parser.add_subparsers(dest="scenario", required=True)
    line.add_arguments(scenarios.add_parser("line", help=line.__doc__))
    return line.main(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
