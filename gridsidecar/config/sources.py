"""Values from several sources, one over the other, and where each came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from gridsidecar.config.interpolation import Expanded
from gridsidecar.config.secret_files import InFile, filled, reference
from gridsidecar.config.yaml_tree import KeyPath, dotted, retyped
from gridsidecar.errors import Fault

FLAGS = "command line"


class SettingOrigin(Struct, frozen=True):
    source: str  # a file's name, a variable's name, or the command line
    line: int | None = None


class Sources:
    """Later sources win, key by key; a list or a single value is replaced whole."""

    def __init__(self, path: str | None) -> None:
        self.values: dict[str, Any] = {}
        self.texts: dict[KeyPath, str] = {}  # the text behind a value that was typed anew
        self.recipes: dict[KeyPath, str] = {}  # the text behind a value of which files hold a part
        self._path = path
        self._origins: dict[KeyPath, SettingOrigin] = {}
        self._variables: set[KeyPath] = set()

    def add_variable(self, key: str, name: str, text: str, recipe: str | None = None) -> None:
        at = tuple(key.split("."))
        self._put(at, retyped(text), SettingOrigin(name))
        self.texts[at] = text
        if recipe is not None:
            self.recipes[at] = recipe
        self._variables.add(at)

    def add_variable_value(self, key: str, name: str, value: object) -> None:
        """A value that a variable stands for, but does not spell out."""
        self._put(tuple(key.split(".")), value, SettingOrigin(name))

    def add_file(self, expanded: Expanded, lines: dict[KeyPath, int]) -> None:
        self._merge(self.values, expanded.values, (), lines)
        self.texts.update(expanded.texts)
        self.recipes.update(expanded.recipes)

    def add_flag(self, key: str, value: object) -> Fault | None:
        """A fault where the value is to come from a file that is no use."""
        at = tuple(key.split("."))
        if not isinstance(value, InFile):
            self._put(at, value, SettingOrigin(FLAGS))
            return None
        try:
            recipe = reference(value.path)
            self._put(at, filled(recipe), SettingOrigin(FLAGS))
        except ValueError as error:
            self._put(at, "", SettingOrigin(FLAGS))
            return Fault(key, str(error), source=FLAGS)
        self.recipes[at] = recipe
        return None

    def add_passed(self, name_of_file: str, dotenv: Mapping[str, str], environ: Mapping[str, str]) -> None:
        """What handlers are to be passed that the environment lacks, and `.env` has. Names are not checked yet."""
        handlers = self.values.get("handlers")
        for handler, section in handlers.items() if isinstance(handlers, dict) else ():
            may_have = isinstance(section, dict) and isinstance(section.get("env", {}), dict)
            wanted = section.get("pass_env") if may_have else None
            for name in wanted if isinstance(wanted, list) else ():
                if isinstance(name, str) and name in dotenv and name not in environ:
                    at = ("handlers", handler, "env", name)
                    if self.value(at) is None:
                        self._put(at, dotenv[name], SettingOrigin(name_of_file))

    def comes_from_variable(self, key: str) -> bool:
        return tuple(key.split(".")) in self._variables

    def origin(self, at: KeyPath) -> SettingOrigin | None:
        """Where a key was set, or the nearest section around it."""
        for length in range(len(at), 0, -1):
            if at[:length] in self._origins:
                return self._origins[at[:length]]
        return None if self._path is None else SettingOrigin(self._path)

    def value(self, at: KeyPath) -> Any:
        """What stands at a key; None where nothing does."""
        value: Any = self.values
        for part in at:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def reference_faults(self, expanded: Expanded) -> list[Fault]:
        """References that could not be replaced, where no flag took their place."""
        return [
            Fault(key=dotted(at), problem=problem, source=origin.source, line=origin.line)
            for at, problem in expanded.problems.items()
            if (origin := self.origin(at)) is not None and origin.source != FLAGS
        ]

    def _merge(self, into: dict[str, Any], values: dict[str, Any], at: KeyPath, lines: dict[KeyPath, int]) -> None:
        for key, value in values.items():
            here = (*at, key)
            if not isinstance(value, dict) and (value is not None or len(here) > 1):
                self._forget(here)
            self._origins[here] = SettingOrigin(self._path or "", lines.get(here))
            if isinstance(value, dict):
                below = into[key] if isinstance(into.get(key), dict) else {}
                into[key] = below
                self._merge(below, value, here, lines)
            elif value is not None or len(here) > 1:
                into[key] = value
                self._note_items(value, here, lines)
            # A section with nothing in it, all its keys commented out, means its defaults.

    def _note_items(self, value: Any, at: KeyPath, lines: dict[KeyPath, int]) -> None:
        """Where the items of a list stand, and what is in them."""
        match value:
            case list():
                inside: Iterable[tuple[str | int, Any]] = enumerate(value)
            case dict():
                inside = value.items()
            case _:
                return
        for key, item in inside:
            self._origins[(*at, key)] = SettingOrigin(self._path or "", lines.get((*at, key)))
            self._note_items(item, (*at, key), lines)

    def _put(self, at: KeyPath, value: Any, origin: SettingOrigin) -> None:
        section = self.values
        for part in at[:-1]:
            below = section.get(str(part))
            if not isinstance(below, dict):
                below = {}
                section[str(part)] = below
            section = below
        section[str(at[-1])] = value
        self._forget(at)
        self._origins[at] = origin

    def _forget(self, at: KeyPath) -> None:
        """Nothing that an earlier source said of a key, or of what was inside it, holds any longer."""
        for known in (self.texts, self.recipes, self._origins):
            for inside in [key for key in known if key[: len(at)] == at]:
                del known[inside]
        self._variables -= {key for key in self._variables if key[: len(at)] == at}
