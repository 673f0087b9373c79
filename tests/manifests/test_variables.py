"""Variables and secrets of a configuration in what is printed of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gridsidecar.errors import ConfigError
from gridsidecar.manifests import KINDS
from tests.manifests.printing import PODS, application, objects, pod
from tests.support.cli import gridsidecar
from tests.support.kubernetes import OLDEST, validate


def test_secrets_are_referred_to_and_other_variables_have_their_values(write: Callable[..., Path]) -> None:
    changes = {"worker.concurrency": "${WIDTH}", "broker.queue": "${QUEUE:-resize}", "http.base_path": "${BASE:-}"}
    with_default = {"handlers.fast.env": {"MODE": "${MODE:-quick}"}, "store.url": "${MYSQL_URL:-mysql://localhost/x}"}
    file = write(changes | with_default)
    environ = {"WIDTH": "12", "QUEUE": "$(X) of mine", "AMQP_URL": "amqp://me:Geheim@here/", "FAST_TOKEN": "Geheim"}
    text = KINDS["deployment"](application(file, "deployment", environ))
    found = list(yaml.safe_load_all(text))
    env = {each["name"]: each.get("value", each.get("valueFrom")) for each in pod(found)["containers"][0]["env"]}
    for name in ("AMQP_URL", "MYSQL_URL", "FAST_TOKEN"):
        assert env.pop(name) == {"secretKeyRef": {"name": "logins", "key": name}}
    for name in ("MODEL_KEY", "MODE"):  # the pods start without them
        assert env.pop(name) == {"secretKeyRef": {"name": "logins", "key": name, "optional": True}}
    assert env == {"WIDTH": "12", "QUEUE": "$$(X) of mine"}  # Kubernetes makes $(X) of it
    assert found[-1]["spec"]["triggers"][0]["metadata"]["value"] == "12"
    assert "Geheim" not in text


def test_the_secret_has_a_line_for_each_variable(write: Callable[..., Path]) -> None:
    (found,) = objects(application(write(), "secret"), "secret")
    assert found["metadata"]["name"] == "logins"
    assert list(found["stringData"]) == [
        "AMQP_URL",
        "MYSQL_URL",
        "FAST_TOKEN",
        "MODEL_KEY",
        "KEDA_RABBITMQ_URL",
        "KEDA_MYSQL_CONNECTION",
    ]


def test_a_password_in_a_comment_is_hidden(write: Callable[..., Path]) -> None:
    file = write()
    file.write_text(f"# once: amqp://me:Geheim@rabbit/\n{file.read_text()}")
    assert "amqp://me:***@rabbit/" in (text := KINDS["job"](application(file, "job")))
    assert "Geheim" not in text


LITERAL: dict[str, Any] = {
    "broker.url": "amqp://me:Geheim@rabbit/",
    "store.url": "${MYSQL_URL:-mysql://me:Geheim@db/grid}",
    "callbacks.signing_secret": "Geheim",
    "http.token": "${TOKEN:-Geheim-Geheim-Geheim}",
    "notify": [{"type": "feishu", "url": "https://open.example.org/hook/Geheim"}],
    "handlers.default.env": {"API_TOKEN": "Geheim"},
    "handlers.default.command": ["./run", "--api-key=Geheim"],
    "handlers.fast.command": ["./run", "--password", "Geheim"],
    "hooks.on_startup": ["./hook", "redis://:Geheim@cache/"],
}


@pytest.mark.parametrize("key", LITERAL)
def test_a_secret_in_the_file_is_refused(write: Callable[..., Path], key: str) -> None:
    file = write({key: LITERAL[key]})
    for kind in PODS:
        arguments = ["--schedule", "@hourly"] if kind == "cronjob" else []
        done = gridsidecar(file.parent, "manifests", kind, "--image", "x", *arguments)
        assert (done.returncode, done.stdout) == (78, "")
        assert f"config.yaml:{line_of(file, 'Geheim')}: {key}" in done.stderr
        assert "a secret stands here, which a manifest would show: write ${" in done.stderr
        assert "Geheim" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["sh", "-c", "API_TOKEN=Geheim exec ./run"],
        ["env", "DB_PASSWORD=Geheim", "./run"],
        ["./run", "https://example.org/hook?lang=de&api_key=Geheim"],
        ["curl", "-H", "Authorization: Bearer Geheim"],
    ],
)
def test_a_secret_inside_of_a_word_is_found(write: Callable[..., Path], command: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"handlers\.default\.command\[\d\].*a secret stands here"):
        application(write({"handlers.default.command": command}), "job")


def line_of(file: Path, text: str) -> int:
    return next(number for number, line in enumerate(file.read_text().splitlines(), 1) if text in line)


def test_harmless_words_are_no_secrets(write: Callable[..., Path]) -> None:
    plain: dict[str, Any] = {
        "handlers.default.command": ["./run", "--token-file", "--tokenizer", "${T}", "--password", "${P}", "amqp://h/"],
        "handlers.fast.command": ["./run", "--max-tokens=4096", "--token-file=/run/token", "--max_tokens", "4096"],
        "hooks.on_startup": ["sh", "-c", "TOKEN=${T} PASSWORD=$$P ./run 'https://example.org/?token=${T}&n=1'"],
        "hooks.on_shutdown": ["curl", "-H", "Authorization: Bearer ${T}"],
        "handlers.default.env": {
            "MODEL": "small",
            "MAX_TOKENS": "4096",
            "TOKENIZER": "x",
            "PASSWORD_FILE": "/run/p",
            "API_TOKEN": "${API_TOKEN}",
        },
        "notify": [{"type": "feishu", "url": "https://open.example.org/hook/${KEY}"}],
        "broker.url": "amqp://${USER_NAME}:${PASSWORD}@rabbit/",
    }
    app = application(write(plain), "deployment")
    assert {"T", "P", "API_TOKEN", "KEY", "USER_NAME", "PASSWORD"} <= set(app.source.secrets)
    validate(objects(app, "deployment"), OLDEST)
