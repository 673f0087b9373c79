"""The program: `gridsidecar`, and `python -m gridsidecar`."""

import sys

INTERRUPTED = 130  # as `errors` has it, of which nothing is loaded yet


def main() -> None:
    """Ctrl-C while the command line is being loaded ends it as quietly as later."""
    try:
        from gridsidecar.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
