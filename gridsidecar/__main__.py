"""The program: `gridsidecar`, and `python -m gridsidecar`."""

import gc
import os
import sys

INTERRUPTED = 130  # as `errors` has it, of which nothing is loaded yet
WHILE_LOADING = 50_000  # new objects until garbage is looked for; what is loaded is none, and looking takes its time


def main() -> None:
    """Ctrl-C while the command line is being loaded ends it as quietly as later."""
    fill_standard_descriptors()
    gc.set_threshold(WHILE_LOADING)
    try:
        _main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except RuntimeError as error:  # what Python 3.11 makes of it while a class is being made
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        sys.exit(INTERRUPTED)


def fill_standard_descriptors() -> None:
    """Whoever started us may have closed some. The next thing that is opened would be taken for stdin or stderr, and
    what is loaded opens things: so this comes before anything else."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  # closed by whoever started us
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _main() -> None:
    if sys.argv[1:2] == ["health"] and not {"-h", "--help"} & set(sys.argv):
        from gridsidecar import language  # alone, with the next: the other commands take ten times as long to load
        from gridsidecar.runtime import probe

        translate = language.translator(language.asked_for(sys.argv[2:], os.environ))
        sys.exit(probe.main(language.without_flag(sys.argv[2:]), translate))
    from gridsidecar import cli

    cli.main()


if __name__ == "__main__":
    main()
