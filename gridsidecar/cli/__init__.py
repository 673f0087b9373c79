"""The command line: one file per group of commands, each loaded only when it is asked for."""

from __future__ import annotations

import sys

import typer

from gridsidecar.cli import config, run, tables
from gridsidecar.errors import EX_USAGE, GridSidecarError

app = typer.Typer(
    name="gridsidecar",
    help="Run any command as the worker of a task queue.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run", context_settings={"allow_interspersed_args": False})(run.run)
app.add_typer(config.app, name="config")
app.command("migrate")(tables.migrate)
app.command("version")(tables.version)


def main() -> None:
    """Run a command; errors of ours are one sentence on stderr and an exit code of sysexits."""
    try:
        app(standalone_mode=False)
    except GridSidecarError as error:
        print(f"gridsidecar: {error}" if "\n" not in str(error) else error, file=sys.stderr)
        sys.exit(error.exit_code)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except typer.TyperException as error:  # the command line itself is wrong
        show = getattr(error, "show", None)
        print(error, file=sys.stderr) if show is None else show()
        sys.exit(EX_USAGE)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
