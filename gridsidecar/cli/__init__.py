"""The command line: one file per group of commands, each loaded only when it is asked for."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, Any, TextIO

import typer

from gridsidecar import __version__
from gridsidecar.cli import (
    callbacks,
    check,
    config,
    dead,
    demo,
    doctor,
    execute,
    health,
    logs,
    operations,
    pause,
    queue,
    run,
    serve,
    speech,
    stats,
    status,
    submit,
    tables,
    tasks,
)
from gridsidecar.cli.registering import add
from gridsidecar.errors import EX_FAILED, EX_INTERRUPTED, EX_USAGE, GridSidecarError
from gridsidecar.language import asked_for, said, speak

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


add(app, "run", run.run, run.EPILOG, allow_interspersed_args=False)
add(app, "serve", serve.serve, serve.EPILOG)
add(app, "demo", demo.demo)
add(app, "submit", submit.submit, submit.EPILOG)
add(app, "status", status.status, status.EPILOG)
app.add_typer(tasks.app, name="tasks")
app.add_typer(operations.app, name="operations")
add(app, "logs", logs.logs, logs.EPILOG)
add(app, "stats", stats.stats)
add(app, "pause", pause.pause, pause.EPILOG)
add(app, "resume", pause.resume, pause.EPILOG)
app.add_typer(callbacks.app, name="callbacks")
add(app, "queue-info", queue.queue_info, queue.INFO_EPILOG)
add(app, "purge-queue", queue.purge_queue, queue.PURGE_EPILOG)
app.add_typer(dead.app, name="dead")
add(app, "health", health.health, health.EPILOG)
add(app, "exec", execute.execute, execute.EPILOG, allow_interspersed_args=False)
add(app, "doctor", doctor.doctor, doctor.EPILOG)
add(app, "check", check.check, check.EPILOG, allow_interspersed_args=False)
app.add_typer(config.app, name="config")
add(app, "migrate", tables.migrate)
add(app, "version", tables.version)


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
    pass


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
        print(said(f"gridsidecar: cannot write to stdout: {error.strerror}"), file=sys.stderr)
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
        code = speech.prepare(app, language).main(standalone_mode=False, prog_name="gridsidecar")
    except GridSidecarError as error:
        text = said(str(error))
        print(text if "\n" in text else f"gridsidecar: {text}", file=sys.stderr)
        return error.exit_code
    except typer.Exit as done:
        return done.exit_code
    except typer.TyperException as error:  # the command line itself is wrong
        context: Any = getattr(error, "ctx", None)
        if getattr(error, "option_name", None) == "--server" and not hasattr(context.command, "commands"):
            command = context.command_path
            print(said(f"{command} works on the servers of a configuration: it cannot ask an API"), file=sys.stderr)
        else:
            print(speech.complaint(error) if hasattr(error, "show") else error, file=sys.stderr)
        return EX_USAGE
    except (KeyboardInterrupt, typer.Abort):
        return EX_INTERRUPTED
    return code if isinstance(code, int) else 0
