"""Lines of the log for people: nothing from outside forges one or steers the terminal."""

from __future__ import annotations

import json
import logging

import pytest

from gridsidecar.telemetry.formatters import ConsoleFormatter, JsonFormatter


def line(**fields: object) -> str:
    record = logging.LogRecord("gridsidecar", logging.INFO, "", 0, "task failed", None, None)
    record.fields = fields
    return ConsoleFormatter({}).format(record).split("task failed  ")[1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "error=plain"),
        ("中文", "error=中文"),
        ("two words", 'error="two words"'),
        ("", 'error=""'),
        ("a\nb\x1b[2J", r'error="a\nb\u001b[2J"'),
        ("\x9b2J\x7f", r'error="\u009b2J\u007f"'),
        ("abc\u202edef \u2028 中", r'error="abc\u202edef \u2028 中"'),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert line(error=text) == shown
    assert line(error=text).isprintable()


@pytest.mark.parametrize("words", [{}, {"task failed": "任务失败"}], ids=["en", "zh"])
@pytest.mark.parametrize("text", ["a\x7f\x9b2J", "abc\u202edef", "\u2028\u200f", "\x1b[2J"])
def test_nothing_in_a_line_of_json_steers_a_terminal(words: dict[str, str], text: str) -> None:
    record = logging.LogRecord("gridsidecar", logging.INFO, "", 0, "task failed", None, None)
    record.fields = {"error": text, "name": "中文"}
    told = JsonFormatter(words, ascii_only=False).format(record)
    assert told.isprintable()
    assert json.loads(told)["error"] == text
    assert ("中文" in told) == bool(words)
