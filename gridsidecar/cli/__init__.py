"""The command line: one file per group of commands, each loaded only when it is asked for."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, Any, TextIO

import typer

from gridsidecar import __version__
from gridsidecar.cli import lang_option
from gridsidecar.cli.lazy_commands import LazyCommands
from gridsidecar.cli.open_files import refuse_too_few
from gridsidecar.errors import EX_FAILED, EX_INTERRUPTED, EX_USAGE, GridSidecarError
from gridsidecar.language import asked_for, speak, translated

PIPE_CLOSED = 141  # 128 + SIGPIPE
FULL = (errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    name="gridsidecar",
    help="Run any command as the worker of a task queue.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS = {  # in the order of the help
    "run": "run:run",
    "serve": "serve:serve",
    "demo": "demo:demo",
    "submit": "submit:submit",
    "status": "status:status",
    "tasks": "tasks",
    "operations": "operations",
    "logs": "logs:logs",
    "stats": "stats:stats",
    "pause": "pause:pause",
    "resume": "pause:resume",
    "callbacks": "callbacks",
    "queue-info": "queue:queue_info",
    "purge-queue": "queue:purge_queue",
    "dead": "dead",
    "health": "health:health",
    "exec": "execute:execute",
    "doctor": "doctor:doctor",
    "check": "check:check",
    "manifests": "manifests:manifests",
    "config": "config",
    "migrate": "migrate:migrate",
    "version": "version:version",
}


def _print_version(asked: bool) -> None:
    if asked:
        print(f"gridsidecar {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    refuse_too_few()


def command(language: str) -> Any:
    """All that this program does, in a language of `LANGUAGES`, as the command line's library has it; `speak` was
    called."""
    root = typer.main.get_command(app)
    lang_option.prepare(root, language)
    if language != "en":
        lang_option.translate_titles()
    root.commands = LazyCommands(COMMANDS, lambda below: lang_option.prepare(below, language))  # type: ignore[attr-defined]
    return root


def main() -> None:
    """Run a command; errors of ours are one sentence on stderr and an exit code of sysexits."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal or file whose encoding lacks a character gets it escaped, instead of a traceback.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = _code()
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as error:  # `gridsidecar … | head`, of which Typer makes an exit
        if not isinstance(error, BrokenPipeError) and not isinstance(error.__context__, BrokenPipeError):
            raise
        _discard(sys.stdout)
        code = PIPE_CLOSED
    except OSError as error:
        if error.errno not in FULL:
            raise
        print(translated(f"gridsidecar: cannot write to stdout: {error.strerror}"), file=sys.stderr)
        _discard(sys.stdout)
        code = EX_FAILED
    try:
        sys.stderr.flush()
    except OSError:  # its disk is full or its reader is gone: Python would make that the exit code
        _discard(sys.stderr)
    sys.exit(code)


def _discard(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _code() -> int:
    language = asked_for(sys.argv[1:], os.environ)
    speak(language)
    try:
        code = command(language).main(standalone_mode=False, prog_name="gridsidecar")
    except GridSidecarError as error:
        text = "\n".join(map(translated, str(error).split("\n")))  # a file may have any number of faults
        print(text if "\n" in text else f"gridsidecar: {text}", file=sys.stderr)
        return error.exit_code
    except typer.Exit as done:
        return done.exit_code
    except typer.TyperException as error:  # the command line itself is wrong
        context: Any = getattr(error, "ctx", None)
        unknown = getattr(error, "option_name", None) if hasattr(error, "possibilities") else None
        if unknown == "--server" and not hasattr(context.command, "commands"):
            path = context.command_path
            print(translated(f"{path} works on the servers of a configuration: it cannot ask an API"), file=sys.stderr)
        else:
            print(lang_option.complaint(error) if hasattr(error, "show") else error, file=sys.stderr)
        return EX_USAGE
    except (KeyboardInterrupt, typer.Abort):
        return EX_INTERRUPTED
    return code if isinstance(code, int) else 0
