"""Manifests printed in Chinese: their comments are, and nothing else is another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from gridsidecar.language import speak
from gridsidecar.manifests import KINDS
from tests.manifests.printing import CONFIG, application
from tests.manifests.test_printed import ALL_WISHES, SERVED

COMMENT = re.compile(r"(?:^ *| )# (?=\S)(.*)")
TYPED = re.compile(r"`[^`]*`|\S*[=/_.]\S*")
SENTENCE = re.compile(r"[A-Za-z'-]+(?:,? [a-z][a-z'-]*){2,}")
WISHES: dict[str, dict[str, Any]] = {
    "all": ALL_WISHES,
    "apart": {"container": "gridsidecar:1"},
    "replicas": {"replicas": 3, "pdb": True},
}


@contextmanager
def spoken(language: str) -> Iterator[None]:
    speak(language)
    try:
        yield
    finally:
        speak("en")


@pytest.mark.parametrize("wishes", WISHES)
@pytest.mark.parametrize("kind", KINDS)
def test_comments_are_chinese_and_the_rest_is_as_it_was(write: Callable[..., Path], kind: str, wishes: str) -> None:
    app = application(write(SERVED if wishes == "apart" else {}), kind, **WISHES[wishes])
    english = KINDS[kind](app)
    with spoken("zh"):
        chinese = KINDS[kind](app)
    assert comments(chinese) == []
    assert len(comments(english)) > 3
    if kind == "systemd":
        assert [line for line in chinese.splitlines() if "#" not in line] == [
            line for line in english.splitlines() if "#" not in line
        ]
    else:
        told = chinese.replace("请在 .env 中设置", "set it in .env")  # compose shows it
        assert list(yaml.safe_load_all(told)) == list(yaml.safe_load_all(english))


def comments(text: str) -> list[str]:
    """Those that have English sentences."""
    found = (match[1] for line in text.splitlines() if (match := COMMENT.search(line)))
    return [comment for comment in found if SENTENCE.search(TYPED.sub("", comment))]


def test_what_the_configuration_says_stays_as_it_is(write: Callable[..., Path]) -> None:
    text = f"# it takes tasks\n{yaml.safe_dump(CONFIG)}"
    with spoken("zh"):
        assert "# it takes tasks" in KINDS["deployment"](application(write(text=text), "deployment"))
