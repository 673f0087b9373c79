"""A YAML file as plain values, with the line of every key, and its mistakes as faults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct, field

from gridsidecar.errors import ConfigError, Fault

KeyPath = tuple[str | int, ...]
MAX_BYTES = 1024 * 1024  # what is larger is no configuration, and takes long to read
MAX_VALUES = 100_000  # a small file of aliases can unfold into any number of values


class Tree(Struct, frozen=True):
    """`values` as written; `lines` by key path, from 1; `faults` found on the way."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """Scalars as in YAML 1.2: `on`, `no`, dates and 12:30 are text, only true and false are booleans."""


_RETYPED = {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _RETYPED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


_CONTAINERS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}


def _resolve(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


_resolve("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_resolve("int", r"^[-+]?(?:0|[1-9][0-9_]{0,30}|0x[0-9a-fA-F]{1,16})$", "-+0123456789")


def read_tree(path: str) -> Tree:
    """The file's values; ConfigError with one fault when it cannot be read, or is no YAML."""
    try:
        raw = read_bounded(path)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(path, f"cannot read the file: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise _unreadable(path, "the file is not UTF-8: save it as UTF-8", line) from None
    return _parsed(path, text)


def read_bounded(path: str) -> bytes:
    """The whole file; ConfigError for one that is too large. OSError when it cannot be read."""
    with Path(path).open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise _unreadable(path, "the file has more than 1 MiB: it is no configuration; put large data elsewhere")
    return raw


def retyped(text: str) -> Any:
    """A text as the YAML scalar it would be in the file: `5` is a number, `true` a boolean, the rest stays text."""
    loader = _Loader("")
    try:
        tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        return loader.construct_object(yaml.ScalarNode(tag, text))
    except (yaml.YAMLError, ValueError):
        return text
    finally:
        loader.dispose()


def _parsed(path: str, text: str) -> Tree:
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            return _Walk(path, loader).tree(root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _unreadable(path, _syntax_problem(error), mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise _unreadable(path, "a control character stands here: remove it", line) from None
    except RecursionError:
        raise _unreadable(path, "the file is nested too deeply") from None


def _syntax_problem(error: yaml.MarkedYAMLError) -> str:
    problem = " ".join(str(error.problem or error.context or "cannot be read").split())
    if "\\t" in problem:
        return "a tab stands here: YAML is indented with spaces"
    return f"not valid YAML: {problem}"


def _unreadable(path: str, problem: str, line: int | None = None) -> ConfigError:
    return ConfigError([Fault(key="", problem=problem, source=path, line=line)])


class _Walk:
    """Turns nodes into values, remembering where each key stood."""

    def __init__(self, path: str, loader: _Loader) -> None:
        self._path = path
        self._loader = loader
        self._open: set[int] = set()
        self._budget = MAX_VALUES
        self._tree = Tree()

    def tree(self, root: yaml.Node | None) -> Tree:
        if root is None:
            return self._tree
        if not isinstance(root, yaml.MappingNode):
            raise _unreadable(self._path, "the file must hold keys and values, such as `broker:`", _line(root))
        self._tree.values.update(self._value(root, ()))
        return self._tree

    def _value(self, node: yaml.Node, at: KeyPath) -> Any:
        self._tree.lines.setdefault(at, _line(node))
        self._budget -= 1
        if self._budget < 0:
            raise _unreadable(self._path, f"the file holds more than {MAX_VALUES:,} values", _line(node))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, at)
        if id(node) in self._open:
            return self._fault(at, node, "this alias stands inside what it names")
        if node.tag not in _CONTAINERS:
            return self._fault(at, node, f"the tag {node.tag} is not allowed here")
        self._open.add(id(node))
        try:
            return self._mapping(node, at) if isinstance(node, yaml.MappingNode) else self._list(node, at)
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.ScalarNode, at: KeyPath) -> Any:
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            return self._fault(at, node, f"the tag {node.tag} is not allowed here")
        if not isinstance(value, str) or value.isascii():
            return value
        try:
            return _paired(value)
        except UnicodeDecodeError:
            return self._fault(at, node, "half of a character stands here, as \\ud83c: write the character itself")

    def _list(self, node: yaml.Node, at: KeyPath) -> list[Any]:
        return [self._value(item, (*at, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, at: KeyPath) -> dict[str, Any]:
        self._find_duplicates(node, at)
        self._loader.flatten_mapping(node)  # `<<`: what it brings comes first, so that own keys win
        values: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._fault(at, key, "a key must be a word")
                continue
            # Text whatever it looks like: `on`, `1` and `true` are names here.
            name = str(key.value)
            self._tree.lines[(*at, name)] = _line(key)
            values[name] = self._value(value, (*at, name))
        return values

    def _find_duplicates(self, node: yaml.MappingNode, at: KeyPath) -> None:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":merge") else None
            if name in seen:
                self._fault((*at, name), key, f"the key stands here twice, first on line {seen[name]}: keep one")
            elif name is not None:
                seen[name] = _line(key)

    def _fault(self, at: KeyPath, node: yaml.Node, problem: str) -> None:
        self._tree.faults.append(Fault(key=dotted(at), problem=problem, source=self._path, line=_line(node)))


def _paired(text: str) -> str:
    """JSON writes a character as two escapes, such as \\ud83c\\udf89, where YAML would have one."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def dotted(at: KeyPath) -> str:
    """`handlers.default.command[1]`"""
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
