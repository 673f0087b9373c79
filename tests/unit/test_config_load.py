"""From file, variables and flags to settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.config.load import load
from gridsidecar.config.settings import Settings
from gridsidecar.errors import ConfigError, Fault
from gridsidecar.handler.env_variables import handler_environment

LEAST = """\
broker: {url: "sqlite:///q.db"}
store: {url: "sqlite:///q.db"}
handlers: {default: {command: [cat]}}
"""

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return str(path)

    return write


def settings(path: str | None, environ: dict[str, str] | None = None, **more: Any) -> Settings:
    return load(path, environ=environ or {}, dotenv=more.pop("dotenv", None), **more)


def faults(path: str | None, environ: dict[str, str] | None = None, **more: Any) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        settings(path, environ, **more)
    assert caught.value.exit_code == 78
    assert len(str(caught.value).splitlines()) == len(caught.value.faults)
    return caught.value.faults


def the_fault(path: str | None, environ: dict[str, str] | None = None, **more: Any) -> Fault:
    (fault,) = faults(path, environ, **more)
    return fault


# -- sources ----------------------------------------------------------------------------------------------------------


def test_the_least_file_gets_the_defaults(write: Write) -> None:
    least = settings(write(LEAST))
    assert least.broker.queue == "task_queue"
    assert least.handlers["default"].command == ["cat"]
    assert least.worker.concurrency == 1


def test_flags_win_over_file_over_environment_over_dotenv(write: Write, tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("GRID_ASYNC_TASK_QUEUE=dotenv\nGRID_ASYNC_TASK_TABLE_NAME=dotenv\n")
    environ = {"GRID_ASYNC_TASK_QUEUE": "environment"}

    def queue(text: str, environ: dict[str, str], flag: str | None = None) -> str:
        overrides: dict[str, object] = {"broker.queue": flag}
        result = settings(write(text), environ, dotenv=str(dotenv), overrides=overrides)
        assert result.store.table_name == "dotenv"
        return result.broker.queue

    in_file = LEAST.replace("{url", "{queue: file, url", 1)
    assert queue(LEAST, {}) == "dotenv"
    assert queue(LEAST, environ) == "environment"
    assert queue(in_file, environ) == "file"
    assert queue(in_file, environ, "flag") == "flag"


def test_no_file_is_needed_when_flags_and_variables_say_enough() -> None:
    result = settings(
        None,
        {"GRID_ASYNC_TASK_AMQP_URL": "amqp://h/", "GRID_ASYNC_TASK_MYSQL_URL": "mysql+pymysql://u:p@h/db"},
        overrides={"handlers.default.command": ["sh", "-c", "true"]},
    )
    assert result.broker.url == "amqp://h/"
    assert result.handlers["default"].command == ["sh", "-c", "true"]


@pytest.mark.parametrize(
    ("name", "text", "section", "key", "value"),
    [
        ("GRID_ASYNC_TASK_QUEUE", "q", "broker", "queue", "q"),
        ("RABBITMQ_QUEUE", "q", "broker", "queue", "q"),
        ("RABBITMQ_QUEUE", "2024", "broker", "queue", "2024"),
        ("GRID_ASYNC_TASK_TABLE_PREFIX", "p_", "store", "table_prefix", "p_"),
        ("GRID_ASYNC_TASK_TABLE_PREFIX", "", "store", "table_prefix", ""),
        ("GRID_ASYNC_TASK_TABLE_NAME", "t", "store", "table_name", "t"),
        ("GRID_ASYNC_TASK_TABLE_NAME", "", "store", "table_name", "tasks"),
        ("GRID_ASYNC_TASK_MAX_RETRY_COUNT", "4", "retry", "max_retries", 4),
        ("GRID_ASYNC_TASK_RETRY_DELAY", "2.5", "retry", "delay", 2.5),
        ("GRID_ASYNC_TASK_IDLE_TIMEOUT", "90", "worker", "idle_timeout", 90),
        ("GRID_ASYNC_TASK_LOG_LEVEL", "debug", "log", "level", "DEBUG"),
        ("LOG_LEVEL", "Warn", "log", "level", "WARNING"),
    ],
)
def test_a_legacy_variable(write: Write, name: str, text: str, section: str, key: str, value: object) -> None:
    assert getattr(getattr(settings(write(LEAST), {name: text}), section), key) == value


def test_own_variables_come_before_general_ones(write: Write) -> None:
    environ = {"RABBITMQ_QUEUE": "general", "GRID_ASYNC_TASK_QUEUE": "own"}
    assert settings(write(LEAST), environ).broker.queue == "own"


HANDLERS = "handlers: {default: {command: [cat]}}\n"
RABBITMQ = {"RABBITMQ_HOST": "mq"}
MYSQL = {"MYSQL_HOST": "db", "MYSQL_DATABASE": "grid"}


@pytest.mark.parametrize(
    ("environ", "broker", "store"),
    [
        ({}, "amqp://guest:guest@mq:5672/", "mysql://db:3306/grid"),
        ({"RABBITMQ_PORT": "5673", "MYSQL_PORT": "3307"}, "amqp://guest:guest@mq:5673/", "mysql://db:3307/grid"),
        (
            {"RABBITMQ_PORT": "tcp://10.0.0.1:5672", "MYSQL_PORT": "tcp://10.0.0.1:3306"},
            "amqp://guest:guest@mq:5672/",
            "mysql://db:3306/grid",
        ),
        (
            {"RABBITMQ_USERNAME": "a@b", "RABBITMQ_PASSWORD": "p/w:1", "RABBITMQ_VHOST": "/prod"}
            | {"MYSQL_USERNAME": "u", "MYSQL_PASSWORD": "p@#?"},
            "amqp://a%40b:p%2Fw%3A1@mq:5672/%2Fprod",
            "mysql://u:p%40%23%3F@db:3306/grid",
        ),
        ({"RABBITMQ_HOST": "::1", "RABBITMQ_VHOST": "/"}, "amqp://guest:guest@[::1]:5672/", "mysql://db:3306/grid"),
        ({"GRID_ASYNC_TASK_AMQP_URL": "amqp://own/"}, "amqp://own/", "mysql://db:3306/grid"),
    ],
)
def test_variables_make_a_url(write: Write, environ: dict[str, str], broker: str, store: str) -> None:
    result = settings(write(HANDLERS), RABBITMQ | MYSQL | environ)
    assert (result.broker.url, result.store.url) == (broker, store)


def test_parts_of_a_url_may_stand_in_both_places(write: Write, tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("RABBITMQ_PASSWORD=secret\nMYSQL_HOST=db\nMYSQL_DATABASE=grid\nRABBITMQ_HOST=other\n")
    result = settings(write(HANDLERS), RABBITMQ, dotenv=str(dotenv))
    assert (result.broker.url, result.store.url) == ("amqp://guest:secret@mq:5672/", "mysql://db:3306/grid")


def test_a_bad_port_names_its_variable(write: Write) -> None:
    fault = the_fault(write(HANDLERS), RABBITMQ | MYSQL | {"RABBITMQ_PORT": "70000"})
    assert (fault.source, fault.value) == ("RABBITMQ_PORT", '"70000"')
    assert the_fault(write(HANDLERS), RABBITMQ | {"MYSQL_HOST": "db"}).source == "MYSQL_DATABASE"
    assert settings(write(LEAST), RABBITMQ | {"RABBITMQ_PORT": "x", "MYSQL_HOST": "db"}).broker.url == "sqlite:///q.db"


def test_a_bad_variable_is_named(write: Write) -> None:
    fault = the_fault(write(LEAST), {"GRID_ASYNC_TASK_MAX_RETRY_COUNT": "many"})
    assert str(fault) == (
        'GRID_ASYNC_TASK_MAX_RETRY_COUNT: retry.max_retries = "many": must be a whole number of at least 0'
    )


def test_a_bad_flag_is_named(write: Write) -> None:
    fault = the_fault(write(LEAST), overrides={"worker.concurrency": 0})
    assert str(fault) == "command line: worker.concurrency = 0: must be a whole number from 1 to 1000"


@pytest.mark.parametrize("name", ["GRID_ASYNC_TASK_FEISHU_WEBHOOK_URL", "FEISHU_WEBHOOK_URL"])
def test_a_feishu_variable_stands_for_a_channel(write: Write, name: str) -> None:
    (channel,) = settings(write(LEAST), {name: "https://open.feishu.cn/open-apis/bot/v2/hook/k"}).notify
    assert (channel.type, channel.url) == ("feishu", "https://open.feishu.cn/open-apis/bot/v2/hook/k")
    assert (channel.on, channel.task_types, channel.secret) == (["failed"], [], None)


def test_channels_in_the_file_win_over_the_variable(write: Write) -> None:
    text = LEAST + "notify: [{type: webhook, url: https://example.org/x}]\n"
    assert [one.type for one in settings(write(text), {"FEISHU_WEBHOOK_URL": "https://x/y"}).notify] == ["webhook"]
    assert settings(write(LEAST + "notify: []\n"), {"FEISHU_WEBHOOK_URL": "https://x/y"}).notify == []


def test_a_bad_feishu_variable_is_named(write: Write) -> None:
    fault = the_fault(write(LEAST), {"FEISHU_WEBHOOK_URL": "no url"})
    assert str(fault).startswith("FEISHU_WEBHOOK_URL: notify[0].url = ***: must be a URL that starts with")


def test_ports_as_kubernetes_sets_them_hide_nothing(write: Write, tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("RABBITMQ_HOST=mq\nRABBITMQ_PORT=5673\nMYSQL_HOST=db\nMYSQL_PORT=3307\nMYSQL_DATABASE=d\n")
    kubernetes = {"RABBITMQ_PORT": "tcp://10.0.0.7:5672", "MYSQL_PORT": "tcp://10.0.0.8:3306"}
    found = settings(write("handlers: {default: {command: [cat]}}"), kubernetes, dotenv=str(dotenv))
    assert (found.broker.url, found.store.url) == ("amqp://guest:guest@mq:5673/", "mysql://db:3307/d")


def test_a_password_without_a_user_is_not_lost(write: Write) -> None:
    variables = {"RABBITMQ_HOST": "mq", "MYSQL_HOST": "db", "MYSQL_DATABASE": "d", "MYSQL_PASSWORD": "p@ss"}
    found = settings(write("handlers: {default: {command: [cat]}}"), variables)
    assert found.store.url == "mysql://root:p%40ss@db:3306/d"


def test_a_line_of_the_dotenv_file_that_cannot_be_read_is_told(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("LOG_LEVEL=error\n\nno variable at all\nLOG_DIR=logs\n")
    told: list[tuple[str, str]] = []
    found = settings(write(LEAST), dotenv=str(dotenv), warn=lambda name, advice: told.append((name, advice)))
    assert (found.log.level, found.log.dir) == ("ERROR", "logs")
    assert [name for name, _ in told] == [f"{dotenv}:3"]
    assert caplog.records == []


def test_a_variable_without_effect_is_told_with_what_to_do(write: Write) -> None:
    told: list[tuple[str, str]] = []
    variables = {"GRID_ASYNC_TASK_TIMEOUT": "60", "GRID_ASYNC_TASK_EXCHANGE": "", "LOG_LEVEL": "info"}
    variables |= {"GRID_ASYNC_TASK_QUEU": "q", "GRID_ASYNC_TASK_ZZZ": "1", "GRID_ASYNC_TASK_QUEUE": "good"}
    settings(write(LEAST), variables, warn=lambda name, advice: told.append((name, advice)))
    assert told == [
        ("GRID_ASYNC_TASK_TIMEOUT", "set handlers.NAME.timeout"),
        ("GRID_ASYNC_TASK_QUEU", "it is not known; did you mean GRID_ASYNC_TASK_QUEUE?"),
        ("GRID_ASYNC_TASK_ZZZ", "it is not known"),
    ]


def test_the_plugins_other_numbers_are_read(write: Write) -> None:
    names = ("PROGRESS_INTERVAL", "CALLBACK_TIMEOUT", "CALLBACK_RETRY_COUNT")
    found = settings(write(LEAST), {f"GRID_ASYNC_TASK_{name}": str(7 + number) for number, name in enumerate(names)})
    assert (found.progress_interval, found.callbacks.timeout, found.callbacks.max_retries) == (7, 8, 9)


@pytest.mark.parametrize("name", ["GRID_ASYNC_TASK_LOG_DIR", "LOG_DIR"])
def test_a_folder_for_logs_comes_from_a_variable(write: Write, name: str) -> None:
    assert settings(write(LEAST), {name: "/var/log/x"}).log.dir == "/var/log/x"
    assert settings(write(LEAST), {name: ""}).log.dir is None


# -- references -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "environ", "expected"),
    [
        ("${Q}", {"Q": "tasks"}, "tasks"),
        ("a-${Q}-b", {"Q": "1"}, "a-1-b"),
        ("${Q}", {"Q": "2024"}, "2024"),
        ("${Q}", {"Q": "true"}, "true"),
        ("${Q:-main}", {}, "main"),
        ("${Q:-main}", {"Q": ""}, "main"),
        ("$$Q-$${Q}", {}, "$Q-${Q}"),
        ("${Q}", {"Q": "${R}: {x"}, "${R}: {x"),
        ("cost$", {}, "cost$"),
    ],
)
def test_a_reference_in_text(write: Write, written: str, environ: dict[str, str], expected: str) -> None:
    text = LEAST.replace("{url", f"{{queue: '{written}', url", 1)
    assert settings(write(text), environ).broker.queue == expected


def test_a_whole_reference_is_typed_anew(write: Write) -> None:
    text = LEAST + "worker: {concurrency: '${N}', burst: '${B}', lease: '${L:-90}', name: '${NAME}'}\n"
    worker = settings(write(text), {"N": "5", "B": "true", "NAME": "5"}).worker
    assert (worker.concurrency, worker.burst, worker.lease, worker.name) == (5, True, 90, "5")


def test_references_read_dotenv_too(write: Write, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("Q=from-dotenv\n")
    text = LEAST.replace("{url", "{queue: '${Q}', url", 1)
    assert settings(write(text), dotenv=str(tmp_path / ".env")).broker.queue == "from-dotenv"


def test_a_handler_is_passed_what_dotenv_holds(write: Write, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KEY=of-dotenv\nBOTH=of-dotenv\nOWN=of-dotenv\nOTHER=of-dotenv\n")
    text = LEAST.partition("handlers:")[0] + (
        "handlers: {default: {command: ['true'], pass_env: [KEY, BOTH, OWN, NOWHERE], env: {OWN: of-file}}}\n"
    )
    environ = {"BOTH": "of-environment"}
    default = settings(write(text), environ, dotenv=str(tmp_path / ".env")).handlers["default"]
    seen = handler_environment(default, environ)
    assert (seen["KEY"], seen["BOTH"], seen["OWN"]) == ("of-dotenv", "of-environment", "of-file")
    assert not seen.keys() & {"NOWHERE", "OTHER"}


@pytest.mark.parametrize("pass_env", ["KEY", "5", "[5, [KEY]]", "{KEY: 1}"])
def test_names_to_be_passed_that_are_no_names(write: Write, tmp_path: Path, pass_env: str) -> None:
    (tmp_path / ".env").write_text("KEY=of-dotenv\n")
    text = LEAST.partition("handlers:")[0] + f"handlers: {{default: {{command: ['true'], pass_env: {pass_env}}}}}\n"
    found = faults(write(text), dotenv=str(tmp_path / ".env"))
    assert {fault.key.partition("[")[0] for fault in found} == {"handlers.default.pass_env"}


@pytest.mark.parametrize(
    ("written", "word"), [("${NOPE}", "NOPE is not set"), ("${", "${NAME}"), ("${a b}", "${NAME}")]
)
def test_a_reference_that_cannot_be_replaced(write: Write, written: str, word: str) -> None:
    fault = the_fault(write(LEAST + f"worker:\n  name: x{written}\n"))
    assert (fault.key, fault.line) == ("worker.name", 5)
    assert word in fault.problem


def test_a_flag_replaces_a_reference_that_cannot_be(write: Write) -> None:
    text = LEAST + "worker: {name: '${NOPE}'}\n"
    assert settings(write(text), overrides={"worker.name": "w"}).worker.name == "w"


# -- the example ------------------------------------------------------------------------------------------------------


def test_the_environment_of_this_process_is_enough_for_the_example() -> None:
    example = Path(__file__).parents[2] / "config.example.yaml"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GRID_", "RABBITMQ_", "MYSQL_"))}
    result = settings(str(example), clean)
    assert result.handlers["default"].command == ["cat"]


def test_a_character_that_json_writes_as_two_escapes_is_one(write: Write) -> None:
    more = 'notify: [{type: webhook, url: "https://x.example/", text: "\\ud83c\\udf89 {error}"}]\n'
    assert settings(write(LEAST + more)).notify[0].text == "🎉 {error}"


def test_half_of_a_character_is_refused_at_its_place(write: Write) -> None:
    more = 'notify:\n  - type: webhook\n    url: https://x.example/\n    text: "\\ud83c {error}"\n'
    fault = the_fault(write(LEAST + more))
    assert (fault.key, fault.line) == ("notify[0].text", 7)
    assert "half of a character stands here" in fault.problem
