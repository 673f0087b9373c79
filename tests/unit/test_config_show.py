"""What `config` prints, and that the example names every key."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from gridsidecar.cli.config import app
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.config.redaction import shown as shown_value
from gridsidecar.config.settings import Settings
from gridsidecar.config.show import masked, schema
from gridsidecar.errors import ConfigError
from tests.unit.test_config_load import LEAST, Write, settings, write

__all__ = ["write"]

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"


def all_keys(model: type[BaseModel], at: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, default) of every leaf; handlers stand for one named `default`."""
    for name, field in model.model_fields.items():
        key = f"{at}{field.alias or name}"
        section = HandlerSettings if name == "handlers" else field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from all_keys(section, f"{key}{'.default' if name == 'handlers' else ''}.")
        else:
            yield key, field.default


def at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


@pytest.mark.parametrize(("key", "default"), list(all_keys(Settings)))
def test_the_example_has_every_key_with_its_default(key: str, default: Any) -> None:
    value = at(yaml.safe_load(EXAMPLE.read_text()), key)
    if key not in ("broker.url", "store.url", "handlers.default.command"):
        assert value == default


def test_the_example_explains_every_key() -> None:
    bare = [line for line in EXAMPLE.read_text().splitlines() if ":" in line and "#" not in line]
    assert [line.split(":")[0].strip() for line in bare] == [
        *("default", "open_files", "cpu_seconds", "memory_mb"),
        *("max_retries", "strategy", "delay", "max_delay", "jitter"),
    ]


@pytest.mark.parametrize("key", [key for key, _ in all_keys(Settings)])
def test_the_schema_describes_every_key(key: str) -> None:
    node = schema()
    for part in key.split("."):
        node = node.get("properties", {}).get(part) or node["additionalProperties"]
        if "$ref" in node:
            node = schema()["$defs"][node["$ref"].rsplit("/", 1)[1]]
    assert node["title"]
    assert node["description"].endswith(".")


def test_the_schema_is_a_schema() -> None:
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema()["required"] == ["broker", "store", "handlers"]
    json.dumps(schema())


def test_secrets_are_hidden(write: Write) -> None:
    path = write(LEAST)
    loaded = settings(
        path,
        overrides={
            "broker.url": "amqp://user:s3cret@host/",
            "store.url": "mysql://user:s3cr%40et@host/db?ssl_mode=required",
            "handlers.default.env": {
                "API_TOKEN": "s3cret",
                "DB_URL": "pg://u:s3cret@h/d",
                "MODEL": "small",
                "EMPTY_KEY": "",
            },
        },
    )
    shown = masked(loaded)
    assert "s3c" not in json.dumps(shown)
    assert shown["broker"]["url"] == "amqp://user:***@host/"
    assert shown["handlers"]["default"]["env"] == {
        "API_TOKEN": "***",
        "DB_URL": "***",
        "MODEL": "***",
        "EMPTY_KEY": "",
    }
    assert shown["callbacks"]["signing_secret"] is None
    assert shown["broker"]["declare"] is True


@pytest.mark.parametrize(
    ("key", "value", "visible"),
    [
        (
            "handlers.default.command",
            ["python3", "app/job.py", "-v", "--dry-run", "--key=s3cret", "--password", "s3cret", "-ps3cret", "s3cret"],
            ["python3", "app/job.py", "-v", "--dry-run", "--key=***", "--password", "***", "***", "***"],
        ),
        ("handlers.default.command", ["env", "TOKEN=s3cret", "job"], ["env", "***", "***"]),
        ("hooks.on_startup", ["curl", "https://u:s3cret@h/x?sig=s3cret"], ["curl", "***"]),
        (
            "handlers.default.env",
            {"DSN": "https://s3cret@sentry/1", "JWT": "s3cret", "COOKIE": "s3cret", "N": "5", "NONE": ""},
            {"DSN": "***", "JWT": "***", "COOKIE": "***", "N": "***", "NONE": ""},
        ),
        ("callbacks.signing_secret", "s3cret", "***"),
        ("broker.management_url", "http://u:s3cret@h:15672/s3cret", "http://***@h:15672/***"),
        ("broker.url", "amqps://u:s3cret@h/v?auth=s3cret&heartbeat=5", "amqps://u:***@h/v?auth=***&heartbeat=5"),
    ],
)
def test_what_is_not_known_to_be_harmless_is_hidden(write: Write, key: str, value: Any, visible: Any) -> None:
    shown = masked(settings(write(LEAST), overrides={key: value}))
    assert at(shown, key) == visible
    assert "s3cret" not in json.dumps(shown)


@pytest.mark.parametrize(
    ("url", "visible"),
    [
        ("https://open.feishu.cn/open-apis/bot/v2/hook/s3cret", "https://open.feishu.cn/***"),
        ("https://hooks.slack.com/services/T0/B0/s3cret", "https://hooks.slack.com/***"),
        ("https://oapi.dingtalk.com/robot/send?access_token=s3cret", "https://oapi.dingtalk.com/***"),
        ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=s3cret", "https://qyapi.weixin.qq.com/***"),
        ("https://x.logic.azure.com:443/workflows/1?sp=%2F&sig=s3cret", "https://x.logic.azure.com:443/***"),
        ("https://fn.azurewebsites.net/api/f?code=s3cret", "https://fn.azurewebsites.net/***"),
        ("https://s3cret@h/", "https://***@h/"),
        ("https://h/", "https://h/"),
    ],
)
def test_of_a_webhook_only_the_host_is_shown(write: Write, url: str, visible: str) -> None:
    path = write(f"{LEAST}notify: [{{type: webhook, url: '{url}', secret: s3cret}}]\n")
    shown = masked(settings(path))
    assert shown["notify"][0]["url"] == visible
    assert "s3cret" not in json.dumps(shown)


def test_a_text_that_nobody_called_harmless_is_hidden() -> None:
    """Whoever adds a key decides; until then it is hidden."""
    assert shown_value(("worker", "new_key"), "s3cret") == "***"
    assert shown_value(("handlers", "x", "new_key"), "s3cret") == "***"
    assert shown_value(("notify", 0, "new_key", 1), "s3cret") == "***"


def test_every_setting_is_shown() -> None:
    shown = masked(settings(str(EXAMPLE)))
    assert all(at(shown, key) == default or "url" in key or "command" in key for key, default in all_keys(Settings))


def test_of_the_texts_only_secrets_are_hidden() -> None:
    """A new one is shown, or stands here."""
    hidden = {
        key for key, _ in all_keys(Settings) if "url" not in key and shown_value(tuple(key.split(".")), "word") == "***"
    }
    lists_and_numbers = {"notify", "handlers.default.exit_codes.retry", "handlers.default.exit_codes.permanent"}
    secrets = {"callbacks.signing_secret", "http.token", "http.read_token", "handlers.default.env"}
    assert hidden == secrets | lists_and_numbers


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("GRID_ASYNC_TASK_", "RABBITMQ_", "MYSQL_", "LOG_")):
            monkeypatch.delenv(name)
    return CliRunner()


def test_validate(run: CliRunner, write: Write) -> None:
    result = run.invoke(app, ["validate", "-c", write(LEAST)])
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.endswith("config.yaml is valid\n")
    assert run.invoke(app, ["validate"]).stderr == "config.yaml is valid\n"


def test_validate_tells_the_faults(run: CliRunner, write: Write) -> None:
    result = run.invoke(app, ["validate", "-c", write(LEAST + "worker: {concurrency: 0}\n")])
    assert isinstance(result.exception, ConfigError)
    assert result.exception.exit_code == 78
    assert ":4: worker.concurrency = 0: must be" in str(result.exception)


def test_print_can_be_loaded_again(run: CliRunner, write: Write) -> None:
    path = write(LEAST)
    result = run.invoke(app, ["print", "-c", path])
    assert result.exit_code == 0
    loaded = settings(path)
    assert settings(write(result.stdout)) == loaded
    assert json.loads(run.invoke(app, ["print", "-c", path, "--json"]).stdout) == masked(loaded)


def test_print_schema(run: CliRunner) -> None:
    assert json.loads(run.invoke(app, ["schema"]).stdout) == schema()


def test_all_keys_walks_into_the_handlers() -> None:
    keys = dict(all_keys(Settings))
    assert {"broker.declare", "handlers.default.limits.memory_mb", "log.level"} <= set(keys)
    assert get_args(HandlerSettings.model_fields["mode"].annotation) == ("oneshot", "persistent", "http")
