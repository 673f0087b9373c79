"""From flags, file, environment and `.env` to checked settings, or to every fault at once."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from gridsidecar.config.interpolation import expand
from gridsidecar.config.secret_files import ServerSection
from gridsidecar.config.settings import Settings
from gridsidecar.config.sources import Sources
from gridsidecar.config.validation import check
from gridsidecar.config.values import is_level
from gridsidecar.config.variables import FEISHU, read_variables, without_effect
from gridsidecar.config.warnings import warnings
from gridsidecar.config.yaml_tree import Tree, dotted, read_bounded, read_tree
from gridsidecar.errors import ConfigError, Fault

Warn = Callable[[str, str], None]  # a variable's name, and what to do instead


def _say_nothing(_name: str, _advice: str) -> None:
    pass


def load(
    path: str | None,
    *,
    overrides: dict[str, object] | None = None,
    environ: Mapping[str, str],
    dotenv: str | None = ".env",
    warn: Warn = _say_nothing,
    unusual: Warn = _say_nothing,
    origins: Callable[[Sources], None] | None = None,
) -> Settings:
    """Checked settings. `overrides` are dotted keys (`broker.url`) from flags; None there means: not given,
    an `InFile` names the file that holds the value.

    Raises ConfigError with every fault found; a file that cannot be read at all is its only fault. `warn` hears of
    variables of the earlier plugin that have no effect, and what to do instead; `unusual` of keys whose values work,
    but hardly as they are meant; `origins` sees where each value came from.
    """
    tree = read_tree(path) if path is not None else Tree()
    from_dotenv = _read_dotenv(dotenv, warn)
    variables = read_variables(environ, from_dotenv)
    expanded = expand(tree.values, {**from_dotenv, **environ})
    sources = Sources(path)
    level: str | None = None  # that of a handler beside us, in words of its own
    for key, text in variables.values.items():
        if variables.names[key] == "LOG_LEVEL" and not is_level(text):
            level = text
            continue
        if key == FEISHU:
            sources.add_variable_value("notify", variables.names[key], [{"type": "feishu", "url": text}])
        else:
            sources.add_variable(key, variables.names[key], text, variables.recipes.get(key))
    sources.add_file(expanded, tree.lines)
    flags = [sources.add_flag(key, value) for key, value in (overrides or {}).items() if value is not None]
    sources.add_passed(dotenv or "", from_dotenv, environ)
    faults = [fault for fault in flags if fault is not None]
    faults += [*tree.faults, *sources.reference_faults(expanded), *_still_used(variables.faults, sources)]
    settings = check(sources, faults)
    if origins is not None:
        origins(sources)
    renew_by_files(settings, {dotted(at): recipe for at, recipe in sources.recipes.items()})
    given = {**from_dotenv, **environ}
    for name, advice in without_effect(name for name, value in given.items() if value):
        warn(name, advice)
    for key, hint in warnings(settings, sources.value(("log", "level")) or level):
        unusual(key, hint)
    return settings


def renew_by_files(settings: Settings, recipes: Mapping[str, str]) -> None:
    """From now on a new connection to broker or store asks the files that hold a part of its URL."""
    for name, section in _servers(settings).items():
        places = {key: re.fullmatch(rf"{name}\.url(?:\[(\d+)\])?", key) for key in recipes}
        section.renew_by({int(found[1]) if found[1] else None: recipes[key] for key, found in places.items() if found})


def recipes_of(settings: Settings) -> dict[str, str]:
    """What `renew_by_files` was told, for another process."""
    return {
        dotted((name, "url") if place is None else (name, "url", place)): recipe
        for name, section in _servers(settings).items()
        for place, recipe in section.recipes.items()
    }


def _servers(settings: Settings) -> dict[str, ServerSection]:
    return {"broker": settings.broker, "store": settings.store}


def _still_used(faults: list[Fault], sources: Sources) -> list[Fault]:
    """A bad variable does no harm where the file or a flag says otherwise."""
    return [fault for fault in faults if sources.comes_from_variable(fault.key)]


def _read_dotenv(name: str | None, warn: Warn) -> dict[str, str]:
    if name is None or not Path(name).is_file():
        return {}
    try:
        text = read_bounded(name).decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([Fault("", f"cannot read the file: {error.strerror or error}", None, name)]) from None
    except UnicodeDecodeError:
        raise ConfigError([Fault("", "the file is not UTF-8: save it as UTF-8", None, name)]) from None
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    good = []
    for line in parse_stream(io.StringIO(text)):
        if line.error:
            blank = len(line.original.string) - len(line.original.string.lstrip("\n"))
            warn(f"{name}:{line.original.line + blank}", "the line is no NAME=value, and is left out")
        else:
            good.append(line.original.string)
    values = dotenv_values(stream=io.StringIO("".join(good)))
    return {key: value for key, value in values.items() if value is not None}
