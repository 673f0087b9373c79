"""The reference of every key, as Markdown, out of the settings' own models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gridsidecar.config.schema_text import allowed
from gridsidecar.config.settings import Settings
from gridsidecar.config.variables import COMPOSED_FROM, FEISHU, VARIABLES, WITHOUT_EFFECT
from gridsidecar.language import translated

INTRODUCTION = """# Configuration

[中文](configuration.zh-CN.md)

One YAML file, named by `-c` (`config.yaml` in the current folder where there is one), and variables. Flags win over the
file, the file over the environment, the environment over a `.env` file in the current folder. `${NAME}` and
`${NAME:-default}` are replaced inside the strings of the file, and `${file:/path}` by what a file holds, %-encoded
within a URL; `$$` is a dollar sign. All times are seconds.

`gridsidecar config validate -c FILE` tells every mistake with its line, `gridsidecar config print -c FILE` shows what
is in force, and [`config.example.yaml`](../config.example.yaml) is a file to start from. This page is made from the
program itself: `gridsidecar config reference`."""

COLUMNS = ("key", "default", "allowed", "meaning")
HANDLERS, NOTIFY = "handlers", "notify"


def reference() -> str:
    """The page in the language that is spoken, ending with a line end."""
    parts = [*map(_told, INTRODUCTION.split("\n\n")), *_section("", Settings), *_variables()]
    return "\n\n".join(parts) + "\n"


def _told(paragraph: str) -> str:
    told = translated(whole := " ".join(paragraph.split()))
    return paragraph if told == whole else told


def _section(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    """A table of the plain keys, then the sections below."""
    plain, below = [], []
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner = model_of(field.annotation)
        if inner is None:
            plain.append(_row(key, field))
        else:
            below.append((key, field, inner))
    if plain:
        yield _table(COLUMNS, plain)
    for key, field, inner in below:
        yield f"{'##' if not prefix else '###'} {_shown(key)}"
        yield " ".join(translated(text.split("\n")[0]) for text in (field.description, inner.__doc__) if text)
        yield from _section(f"{_shown(key)}.", inner)


def _shown(key: str) -> str:
    """A section's name as its keys are written: a mapping's and a list's items have a place of their own."""
    return {HANDLERS: f"{HANDLERS}.NAME", NOTIFY: f"{NOTIFY}[]"}.get(key, key)


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a key holds: by itself, as the items of a list, or as the values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, (model_of(argument) for argument in get_args(annotation))), None)


def _row(key: str, field: FieldInfo) -> str:
    path = tuple(key.replace("[]", ".0").replace("NAME", "default").split("."))
    choices = allowed(tuple(int(part) if part.isdigit() else part for part in path)).split(" or ")
    words = translated(" or ").join(
        translated(each) if " " in each or each == "text" else each for each in choices
    )  # else a value
    default = translated("required") if field.is_required() else f"`{json.dumps(field.default, ensure_ascii=False)}`"
    return f"| `{key}` | {default} | {_cell(words)} | {_cell(translated(field.description or ''))} |"


def _table(columns: Sequence[str], rows: Sequence[str]) -> str:
    return "\n".join([f"| {' | '.join(map(translated, columns))} |", "|---" * len(columns) + "|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _variables() -> Iterator[str]:
    yield translated("## Variables")
    yield translated(
        "Those of the earlier plugin, read from the environment and from `.env`; a name further left wins. "
        "Those of URLs, users, passwords, the virtual host and the database may end in `_FILE`: then "
        "they name the file that holds the value. "
        "`RABBITMQ_PORT` and `MYSQL_PORT` of the form `tcp://…`, as Kubernetes sets them, are ignored."
    )
    rows = []
    for key, names in VARIABLES.items():
        shown = translated("`notify`: a channel of type feishu") if key == FEISHU else f"`{key}`"
        rows.append(f"| {_names(names)} | {shown} |")
    for key, names in COMPOSED_FROM.items():
        rows.append(f"| {_names(names)} | {translated(f'`{key}`, put together')} |")
    yield _table(("variable", "key"), rows)
    yield translated("These have no effect any more; a start that finds them says so:")
    rows = [f"| `{name}` | {translated(advice)} |" for name, advice in WITHOUT_EFFECT.items()]
    yield _table(("variable", "instead"), rows)


def _names(variables: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in variables)
