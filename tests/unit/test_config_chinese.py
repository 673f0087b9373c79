"""What is wrong with a configuration is told wholly in Chinese, whatever it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.config.schema_text import settings_schema
from gridsidecar.errors import ConfigError, Fault
from gridsidecar.language import translator
from tests.unit import test_config_faults as known
from tests.unit.test_config_load import LEAST, settings

ENGLISH = re.compile(
    r"\b(an?|the|and|or|of|to|with|must|may|not|no|is|are|be|it|as|at least|in|from|number|text|list)\b"
)
SPACED = re.compile("[\u4e00-\u9fff] [\u4e00-\u9fff]")
# What stays: what people wrote, keys, URLs, variables and examples.
OURS = re.compile(r"此处可用：.*|例如 .*|“[^”]*”|`[^`]*`|'[^']*'|\"[^\"]*\"|<[^>]*>|[\w.-]*[_.:/][\w./:*{}$-]*")
VALUES: tuple[Any, ...] = (
    *(None, [], {}, [1], {"nokey": 1}, "", "a b", "x" * 300, -1, 1e300, 0.5, True),
    *("http://x y", [["a"]], "amqp://h/", "ftp://h", "whsec_no base64!", "60s", ["a/b"]),
)
BROKEN = (
    "a: b: c\n",
    "a: [x\nb: y\n",
    "a: {x\nb: y\n",
    "a: 'x\n",
    'a: "\\q"\n',
    "a: *nowhere\n",
    "a: 1\n---\nb: 2\n",
    "a: @x\n",
    "a:\n  b: 1\n c: 2\n",
    "a\n: b\nc\n",
    "a:\n\tb: 1\n",
    "- a\n",
    "a: 1\na: 2\n",
    "a: !!python/name:x y\n",
    "broker: {url: '${NOT_SET}'}\n",
    "broker: {url: '${}'}\n",
    "broker: {url: '${file:/no/such/file}'}\n",
)


def left(problem: str) -> str:
    """What of a fault is still English, or badly joined; empty where all is well."""
    told = translator("zh")(f"config.yaml:3: broker.url = 5: {problem}").removeprefix("config.yaml:3: broker.url = 5: ")
    rest = ENGLISH.search(OURS.sub("", told)) or SPACED.search(told)
    return f"{problem} -> {told}" if rest else ""


def english(problems: set[str]) -> list[str]:
    return sorted(filter(None, map(left, problems)))


def test_every_key_with_values_of_all_sorts(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    told: set[str] = set()
    for at in keys(settings_schema(), ()):
        for value in VALUES:
            path.write_text(json.dumps(nested(at, value)))
            told |= {fault.problem for fault in faults(str(path))}
    assert len(told) > 90
    assert english(told) == []


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    told = {fault.problem for name in (tmp_path / "nothing.yaml", tmp_path) for fault in faults(str(name))}
    for text in BROKEN:
        path.write_text(text)
        found = {fault.problem for fault in faults(str(path))}
        assert found, text
        told |= found
    assert english(told) == []


@pytest.mark.parametrize(
    "cases",
    [
        known.test_a_contradiction,
        known.test_a_url_that_cannot_work,
        known.test_broker_urls_that_cannot_work,
        known.test_an_api_that_cannot_work,
        known.test_faults_of_callbacks_notices_hooks_and_logs,
    ],
)
def test_every_fault_that_other_tests_make(tmp_path: Path, cases: Any) -> None:
    path = tmp_path / "config.yaml"
    told: set[str] = set()
    for case in cases.pytestmark[0].args[1]:
        text, overrides = given(cases, case)
        path.write_text(text)
        told |= {fault.problem for fault in faults(str(path), overrides=overrides)}
    assert told
    assert english(told) == []


def given(cases: Any, case: tuple[Any, ...]) -> tuple[str, dict[str, object] | None]:
    """The file and the flags of a case."""
    match cases:
        case known.test_a_contradiction:
            return LEAST, case[0]
        case known.test_a_url_that_cannot_work:
            return LEAST, {case[0]: case[1]}
        case known.test_broker_urls_that_cannot_work:
            return LEAST, {"broker.url": case[0]}
        case known.test_an_api_that_cannot_work:
            return LEAST, {f"http.{name}": value for name, value in case[0].items()}
        case _:
            return LEAST + case[0] + "\n", None


def faults(path: str, **more: Any) -> list[Fault]:
    try:
        settings(path, **more)
    except ConfigError as error:
        return error.faults
    return []


def keys(schema: dict[str, Any], at: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Each key of each section; a handler is called x."""
    if "$ref" in schema:
        schema = settings_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    yield at
    for name, inner in schema.get("properties", {}).items():
        yield from keys(inner, (*at, name))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from keys(schema["additionalProperties"], (*at, "x"))
    if "items" in schema:
        yield from keys(schema["items"], (*at, 0))


def nested(at: tuple[str | int, ...], value: Any) -> Any:
    for part in reversed(at):
        value = {part: value} if isinstance(part, str) else [value]
    return value
