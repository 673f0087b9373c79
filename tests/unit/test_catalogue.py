"""The catalogue holds every message of the log, and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gridsidecar
from gridsidecar.language.chinese.log import CHINESE

PACKAGE = Path(gridsidecar.__file__).parent
HOME = PACKAGE / "telemetry"
MESSAGE_AT = {"debug": 0, "info": 0, "warning": 0, "error": 0, "event": 1, "_record": 1}
TAKEN = {"time", "level", "event", "message", "traceback"}  # keys of a JSON line that no field may have


def test_every_message_is_in_the_catalogue_and_every_entry_is_used() -> None:
    said: set[str] = set()
    for file in PACKAGE.rglob("*.py"):
        said |= messages(file.read_text(), file.relative_to(PACKAGE).as_posix(), at_home=HOME in file.parents)
    assert said - CHINESE.keys() == set(), "add a line to gridsidecar/language/chinese/log.py"
    assert CHINESE.keys() - said == set(), "nobody says this any more: delete the line"


@pytest.mark.parametrize(("english", "chinese"), CHINESE.items())
def test_an_entry_is_chinese(english: str, chinese: str) -> None:
    assert re.search("[\u4e00-\u9fff]", chinese)
    assert (english.strip(), chinese.strip()) == (english, chinese)
    assert not chinese.endswith(("。", "."))


def test_two_messages_never_look_the_same() -> None:
    assert len(set(CHINESE.values())) == len(CHINESE)


@pytest.mark.parametrize(
    "source",
    [
        "telemetry.info(f'took {n}')",
        "telemetry.warning(text)",
        "telemetry.error('a' + name)",
        "telemetry.event(level, WORDS.get(status))",
        "telemetry.event(level, WORDS[status])\nWORDS = {1: name}",
        "telemetry.info(text='a')",
        "telemetry.info('a', message='b')",
        "from gridsidecar.telemetry import info",
        "from gridsidecar import telemetry as log",
        "import logging",
    ],
)
def test_what_the_catalogue_cannot_follow_is_found(source: str) -> None:
    with pytest.raises(AssertionError, match=r"module\.py:1"):
        messages(source, "module.py", at_home=False)


def test_what_it_follows() -> None:
    source = (
        "_WORDS: dict[int, str] = {1: 'a', 2: 'b'}\n"
        "def f():\n telemetry.event(10, _WORDS[n])\n telemetry.info('c' if n else 'd', task_id=1)\n other.info(n)"
    )
    assert messages(source, "module.py", at_home=False) == {"a", "b", "c", "d"}


def messages(source: str, name: str, *, at_home: bool) -> set[str]:
    """What this module may say. Fails on a message that is not written out."""
    tree = ast.parse(source)
    tables = dict(literal_tables(tree))
    said: set[str] = set()
    for node in nodes(tree, skip_passing_on=at_home):
        place = f"{name}:{getattr(node, 'lineno', 0)}"
        if not at_home:
            assert not hides_telemetry(node, name), f"{place}: call it telemetry.info and so on"
        if isinstance(node, ast.Call) and (function := called(node, at_home=at_home)):
            assert len(node.args) > MESSAGE_AT[function], f"{place}: no message"
            texts = spelled_out(node.args[MESSAGE_AT[function]], tables)
            assert texts, f"{place}: the message is not a literal: {ast.unparse(node)}"
            assert not TAKEN & {keyword.arg for keyword in node.keywords}, f"{place}: that field's name is taken"
            said |= texts
    return said


def nodes(tree: ast.Module, *, skip_passing_on: bool) -> Iterator[ast.AST]:
    """Every node; telemetry's own functions that only pass a message on are left out."""
    for statement in tree.body:
        passes_on = isinstance(statement, ast.FunctionDef) and statement.name in MESSAGE_AT
        if not (skip_passing_on and passes_on):
            yield from ast.walk(statement)


def called(call: ast.Call, *, at_home: bool) -> str | None:
    """The function of telemetry that this calls, if it is one that takes a message."""
    match call.func:
        case ast.Name(id=function) if at_home and function in MESSAGE_AT:
            return function
        case ast.Attribute(value=ast.Name(id="telemetry"), attr=function) if function in MESSAGE_AT:
            return function
    return None


def spelled_out(node: ast.expr, tables: dict[str, set[str]]) -> set[str]:
    """Every text that this expression can be; none when nobody can tell."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.Subscript(value=ast.Name(id=table)):
            return tables.get(table, set())
        case ast.IfExp(body=one, orelse=other):
            both = spelled_out(one, tables), spelled_out(other, tables)
            return both[0] | both[1] if all(both) else set()
    return set()


def literal_tables(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    for statement in tree.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(values=values))
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict(values=values))
            ):
                texts = [spelled_out(value, {}) for value in values]
                if all(texts):
                    yield name, set().union(*texts)


def hides_telemetry(node: ast.AST, name: str) -> bool:
    """An import by which a module could log past this test."""
    match node:
        case ast.ImportFrom(module="gridsidecar.telemetry", names=names):
            return bool(MESSAGE_AT.keys() & {alias.name for alias in names})
        case ast.ImportFrom(module="gridsidecar", names=names):
            return any(alias.name == "telemetry" and alias.asname for alias in names)
        case ast.Import(names=names):
            # The broker's client reports in its own words; connection.py silences it.
            known = name == "broker/connection.py"
            return any(alias.name == "logging" for alias in names) and not known
    return False
