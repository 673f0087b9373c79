"""`gridsidecar config validate | print | schema | reference`."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from gridsidecar.cli.config_options import ConfigFile, config_file
from gridsidecar.cli.terminal import json_text, say, speaks_unicode
from gridsidecar.language import translated

app = typer.Typer(help="Check and show the configuration.", no_args_is_help=True, add_completion=False)

ORIGINS_AT = 60  # columns

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")]


@app.command("validate")
def validate(config: ConfigFile = None) -> None:
    """Check the file and the variables, as `run` does. Every fault is a line on stderr, and the exit code is 78; what
    works, but hardly as it is meant, and a command or a file that is not on this machine are told, and the exit code is
    0."""
    from gridsidecar.config.load import load
    from gridsidecar.config.named_files import unusable
    from gridsidecar.handler.commands import unstartable

    file = config_file(config)
    settings = load(
        file,
        environ=os.environ,
        warn=lambda name, advice: say(f"{name} has no effect: {advice}"),
        unusual=lambda key, hint: say(f"{key} is unusual: {hint}"),
    )
    for key, problem in unstartable(settings, os.environ):
        say(f"{key} cannot be started here: {problem}")
    for key, problem in unusable(settings):
        say(f"{key} cannot be used here: {problem}")
    say(f"{file or 'the environment'} is valid")


@app.command("print")
def print_settings(
    config: ConfigFile = None,
    as_json: AsJson = False,
    origins: Annotated[bool, typer.Option("--origins", help="Say of each value where it comes from.")] = False,
) -> None:
    """Print the settings in force: file, environment and .env put together; secrets are hidden."""
    from gridsidecar.config.load import load
    from gridsidecar.config.show import masked

    if origins:
        _print_origins(config_file(config), as_json)
        return
    _print(masked(load(config_file(config), environ=os.environ)), as_json)


@app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    from gridsidecar.config.show import schema

    _print(schema(), as_json=True)


@app.command("reference")
def print_reference() -> None:
    """Print every key with its default and meaning, as Markdown."""
    from gridsidecar.config.reference_page import reference

    typer.echo(reference(), nl=False)


def _print_origins(file: str | None, as_json: bool) -> None:
    from gridsidecar.cli.terminal import clean
    from gridsidecar.config.load import load
    from gridsidecar.config.show import with_origins
    from gridsidecar.config.sources import Sources

    seen: list[Sources] = []
    settings = load(file, environ=os.environ, origins=seen.append)
    found = list(with_origins(settings, seen[0]))
    if as_json:
        print(json_text({key: {"value": value, "origin": origin} for key, value, origin in found}, indent=2))
        return
    for key, value, origin in found:  # a long value moves no other line's origin out of sight
        setting = f"{clean(key)}: {json_text(value)}"
        print(f"{setting:<{ORIGINS_AT}}  # {clean(origin or translated('default'))}")


def _print(value: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json_text(value, indent=2))
        return
    import yaml

    readable = speaks_unicode(sys.stdout)
    print(yaml.safe_dump(value, sort_keys=False, allow_unicode=readable, width=1000), end="")
