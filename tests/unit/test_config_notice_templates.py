"""Templates of notices in the configuration: what cannot work is refused, by its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.config.load import load
from gridsidecar.config.settings import Settings
from gridsidecar.errors import ConfigError

MAIL = {
    "type": "email",
    "smtp_url": "smtp://m.example",
    "from": "a@b.org",
    "to": ["{data.email}"],
    "allow_to": ["b.org"],
}
HOOK = {"type": "webhook", "url": "https://x.example/"}


def loaded(tmp_path: Path, channel: dict[str, Any]) -> Settings:
    file = tmp_path / "config.yaml"
    place = {"url": "sqlite:///q"}
    whole = {"broker": place, "store": place, "handlers": {"default": {"command": ["cat"]}}, "notify": [channel]}
    file.write_text(json.dumps(whole))
    return load(str(file), environ={}, dotenv=None)


@pytest.mark.parametrize(
    ("channel", "key", "problem"),
    [
        (MAIL | {"allow_to": []}, "to[0]", "allow_to must say which domains or addresses it may name"),
        (MAIL | {"to": ["ops@b.org", "{data.email"]}, "to[1]", "the { at character 1 opens no field"),
        (MAIL | {"to": ["{date.email}"]}, "to[0]", "begins with no known field; these are known: task_id,"),
        (MAIL | {"to": ["{data.name} <{data.email}>"]}, "to[0]", "must make one plain address"),
        (MAIL | {"to": ["{data.a}, {data.b}"]}, "to[0]", "must make one plain address"),
        (MAIL | {"allow_to": ["b.org", "*"]}, "allow_to[1]", "must be a domain, *.domain or an address"),
        (MAIL | {"allow_to": ["a b@b.org"]}, "allow_to[0]", "must be a domain, *.domain or an address"),
        (MAIL | {"subject": "{error"}, "subject", "the { at character 1 opens no field"),
        (MAIL | {"subject": "a\nb"}, "subject", "must be one line"),
        (MAIL | {"subject": ""}, "subject", "must be"),
        (MAIL | {"text": "well, {error.x}"}, "text", "{error.x} at character 7: error has no fields of its own"),
        (MAIL | {"max_recipients": 0}, "max_recipients", "must be a whole number from 1 to 10000"),
        (HOOK | {"text": "{resullt}"}, "text", "begins with no known field"),
        (HOOK | {"allow_to": ["b.org"]}, "allow_to", "means nothing for type webhook: leave it out"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, channel: dict[str, Any], key: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, channel)
    (fault,) = caught.value.faults
    assert fault.key == f"notify[0].{key}"
    assert problem in str(fault)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"to": ["Ops <ops@b.org>"], "allow_to": []},
        {"to": ["ops@b.org", "{data.login}@b.org", "{callback_data.team}+{task_type}@b.org"]},
        {"allow_to": ["*.b.org", "Ann@b.org", "bücher.example"], "subject": "{{}} {error}", "text": "a\n{result.0.x}"},
    ],
)
def test_what_can_work_is_taken(tmp_path: Path, fields: dict[str, Any]) -> None:
    (channel,) = loaded(tmp_path, MAIL | fields).notify
    assert channel.max_recipients == 100


WRONG = """broker: {url: "sqlite:///q", concurency: 3}
store: {url: "sqlite:///s"}
handlers: {default: {command: [cat], retry: {max_retries: -1}}}
notify:
  - type: email
    smtp_url: smtp://m.example
    from: a@b.org
    to:
      - ops@b.org
      - "{data.email"
    allow_to: [b.org]
    interval: -3
    subject: "{erro}"
    text: |
      one
      two {resullt} {nope}
      {x.y
  - type: webhook
    url: https://x.example/
    text: "{nix}"
"""


def test_all_of_them_are_told_with_all_the_rest_each_at_its_line(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(WRONG)
    with pytest.raises(ConfigError) as caught:
        load(str(file), environ={}, dotenv=None)
    assert [(fault.line, fault.key) for fault in caught.value.faults] == [
        (1, "broker.concurency"),
        (3, "handlers.default.retry.max_retries"),
        (10, "notify[0].to[1]"),
        (12, "notify[0].interval"),
        (13, "notify[0].subject"),
        (14, "notify[0].text"),
        (20, "notify[1].text"),
    ]
    problem = caught.value.faults[5].problem
    for words in (
        "{resullt} at line 2, character 5 ",
        "{nope} at line 2, character 15 ",
        "the { at line 3, character 1 ",
    ):
        assert words in problem
