"""`python -m gridsidecar`, and the program `gridsidecar`."""

import sys


def main() -> None:
    if sys.argv[1:2] == ["health"] and not {"-h", "--help"} & set(sys.argv):
        from gridsidecar import probe  # alone: the other commands take ten times as long to load

        sys.exit(probe.main(sys.argv[2:]))
    from gridsidecar import cli

    cli.main()


if __name__ == "__main__":
    main()
