"""`gridsidecar config validate | print | schema`."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

app = typer.Typer(help="Check and show the configuration.", no_args_is_help=True)

ConfigFile = Annotated[str, typer.Option("-c", "--config", help="The configuration file.", metavar="FILE")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")]


@app.command("validate")
def validate(config: ConfigFile = "config.yaml") -> None:
    """Check the file and the variables; every fault is one line on stderr, and the exit code is 78."""
    from gridsidecar.config.load import load

    load(config, environ=os.environ)
    typer.echo(f"{config} is valid", err=True)


@app.command("print")
def print_settings(config: ConfigFile = "config.yaml", as_json: AsJson = False) -> None:
    """Print the settings in force: flags, file, environment and .env put together; secrets are hidden."""
    from gridsidecar.config.load import load
    from gridsidecar.config.show import masked

    _print(masked(load(config, environ=os.environ)), as_json)


@app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    from gridsidecar.config.show import schema

    _print(schema(), as_json=True)


def _print(value: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
        return
    import yaml

    typer.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000), nl=False)
