"""The program: `gridsidecar`, and `python -m gridsidecar`."""

import sys

INTERRUPTED = 130  # as `errors` has it, of which nothing is loaded yet


def main() -> None:
    """Ctrl-C while the command line is being loaded ends it as quietly as later."""
    try:
        _main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _main() -> None:
    if sys.argv[1:2] == ["health"] and not {"-h", "--help"} & set(sys.argv):
        from gridsidecar import probe  # alone: the other commands take ten times as long to load

        sys.exit(probe.main(sys.argv[2:]))
    from gridsidecar import cli

    cli.main()


if __name__ == "__main__":
    main()
