"""Every mistake is told, with its key, its value, its line and what is allowed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.broker import delays
from gridsidecar.config import rules, values
from gridsidecar.config.load import load
from gridsidecar.errors import ConfigError
from tests.unit.test_config_load import LEAST, Write, faults, settings, the_fault, write

__all__ = ["write"]


def http(**keys: object) -> dict[str, object]:
    """A handler that is a server, in place of the command."""
    return {"handlers": {"default": {"mode": "http", "url": "http://127.0.0.1:8000/tasks", **keys}}}


MANY = """\
broker:
  url: amqp://user:s3cret@/
  queu: x
  queue_type: topic
  heartbeat: ${HB:-often}
worker:
  concurrency: true
  burst_timeout: -1
  lease: .inf
handlers:
  default:
    command: [sleep, 5]
    mode: sometimes
    env:
      API_TOKEN: 5
  b:
    timeout: soon
retry: {strategy: exponential, delay: 60, max_delay: 5}
http: {token: abc}
log: {level: loud}
"""


def test_all_faults_at_once_each_with_its_line(write: Write) -> None:
    path = write(MANY)
    told = [str(fault).removeprefix(path) for fault in faults(path)]
    assert told == [
        ": store.url: is required: set it in the file, or with GRID_ASYNC_TASK_MYSQL_URL or MYSQL_HOST",
        ':2: broker.url = "amqp://user:***@/": must name a host, as in amqp://user:password@host:5672/',
        ":3: broker.queu: unknown key; did you mean queue?",
        ':4: broker.queue_type = "topic": must be classic or quorum',
        ':5: broker.heartbeat = "often": must be a whole number of seconds from 1 to 600',
        ":7: worker.concurrency = true: must be a whole number from 1 to 1000",
        ":8: worker.burst_timeout = -1: must be a number of seconds of at least 0",
        ":9: worker.lease = inf: must be a number of seconds of at least 1",
        ":12: handlers.default.command[1] = ***: must be text: put it in quotes",
        ':13: handlers.default.mode = "sometimes": must be oneshot, persistent or http',
        ":15: handlers.default.env.API_TOKEN = ***: must be text: put it in quotes",
        ":16: handlers.b.command: is required: it must be a list with at least one item; a server needs mode: http",
        ':17: handlers.b.timeout = "soon": must be a number of seconds of at least 0',
        ":18: retry.max_delay = 5: must not be less than retry.delay (60 s)",
        ":19: http.token = ***: must have 16 or more visible ASCII characters",
        ':20: log.level = "loud": must be DEBUG, INFO, WARNING or ERROR',
    ]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("sh ./resize.sh", ["sh", "./resize.sh"]),
        ("./resize.sh", ["./resize.sh"]),
        (
            "python3 -u 'handler.py' --key=s3cret --key s3cret",
            ["python3", "-u", "handler.py", "--key=***", "--key", "***"],
        ),
        ("curl http://u:s3cret@host/", ["curl", "***"]),
        ("API_KEY=s3cret ./handler", ["***", "***"]),
        ("echo 's3cret", ["echo", "***"]),
        ("./fetch s3cret | sort > out", ["sh", "-c", "***"]),
    ],
)
@pytest.mark.parametrize("key", ["handlers.default.command", "hooks.on_startup"])
def test_a_command_in_one_piece_is_told_as_a_list(write: Write, key: str, command: str, words: list[str]) -> None:
    fault = the_fault(write(LEAST), overrides={key: command})
    assert fault.problem == f"must be a list of words, as {json.dumps(words)}"
    assert "s3cret" not in str(fault)


def test_a_command_out_of_a_variable_is_not_told(write: Write) -> None:
    path = write(LEAST.replace("[cat]", '"${SECRET}"'))
    fault = the_fault(path, {"SECRET": "s3cret and more"})
    assert "s3cret" not in str(fault)
    assert fault.problem == "must be a list with at least one item"


def test_a_file_that_is_no_yaml_has_no_key(write: Write, tmp_path: Path) -> None:
    path = write("a: b: c\n")
    assert str(the_fault(path)) == f"{path}:1: not valid YAML: mapping values are not allowed here"
    path = f"{tmp_path}/no.yaml"
    assert str(the_fault(path)) == f"{path}: cannot read the file: No such file or directory"


def test_what_is_required_names_the_ways_to_set_it(write: Write) -> None:
    told = {fault.key: fault.problem for fault in faults(write(""))}
    without = {fault.key: fault.problem for fault in faults(None)}
    assert set(told) == set(without)
    assert set(told) == {"broker.url", "store.url", "handlers"}
    assert "GRID_ASYNC_TASK_AMQP_URL or RABBITMQ_HOST" in told["broker.url"]
    assert "GRID_ASYNC_TASK_MYSQL_URL or MYSQL_HOST" in told["store.url"]
    assert "after --" in told["handlers"]
    assert without["store.url"] == told["store.url"].replace(
        "set it in the file", "there is no config.yaml here; set it in a file that -c names"
    )


def test_empty_sections_mean_their_defaults(write: Write) -> None:
    assert settings(write(LEAST + "worker:\nnotify:\nhooks:\n")).worker.concurrency == 1
    assert {fault.key for fault in faults(write("broker:\nstore:\nhandlers:\n"))} == {
        *("broker.url", "store.url", "handlers")
    }


@pytest.mark.parametrize(
    ("text", "key", "line", "word"),
    [
        ("broker:\n\turl: x\n", "", 2, "tab"),
        ("broker:\n  url: [x\nstore: y\n", "", 3, "not valid YAML"),
        ("a: b: c\n", "", 1, "not valid YAML"),
        ("- a\n- b\n", "", 1, "keys and values"),
        ("just text\n", "", 1, "keys and values"),
        ("a: 1\n---\nb: 2\n", "", 2, "not valid YAML"),
        ("a: \x01\n", "", 1, "control character"),
        ("a: *nowhere\n", "", 1, "not valid YAML"),
        ("a: " + "[" * 3000, "", None, "nested too deeply"),
        (LEAST + "worker:\n  name: a\n  lease: 5\n  name: b\n", "worker.name", 7, "first on line 5"),
        (LEAST + "worker:\n  name: !!python/object:os.system x\n", "worker.name", 5, "tag"),
        (LEAST + "worker: !!python/dict {}\n", "worker", 4, "tag"),
        (LEAST + "worker:\n  [a, b]: 1\n", "worker", 5, "a key must be a word"),
        (LEAST + "worker: &w\n  name: *w\n", "worker.name", 4, "alias"),
        (LEAST + "workr: {}\n", "workr", 4, "did you mean worker?"),
        (LEAST + "zzz: 1\n", "zzz", 4, "known here: broker, store"),
        (LEAST + "broker:\n  queue: x\n", "broker", 4, "twice"),
        (LEAST + "worker: 5\n", "worker", 4, "must be a section"),
        (LEAST + "worker:\n  burst: maybe\n", "worker.burst", 5, "true or false"),
        (LEAST + "worker:\n  concurrency: 1.5\n", "worker.concurrency", 5, "whole number from 1 to 1000"),
        (LEAST + "store:\n  table_name: a-b\n", "store", 4, "twice"),
    ],
)
def test_a_mistake_has_its_line(write: Write, text: str, key: str, line: int | None, word: str) -> None:
    fault = next(fault for fault in faults(write(text)) if fault.key == key)
    assert word in fault.problem
    if line is not None:
        assert fault.line == line


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing = the_fault(str(tmp_path / "none.yaml"))
    assert (missing.source, missing.line) == (str(tmp_path / "none.yaml"), None)
    assert "No such file" in missing.problem
    assert "cannot read" in the_fault(str(tmp_path)).problem
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: b\nc: \xe9\n")
    assert (the_fault(str(latin)).line, the_fault(str(latin)).problem) == (2, "the file is not UTF-8: save it as UTF-8")


def test_a_file_that_unfolds_without_end_is_refused(write: Write) -> None:
    text = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
    )
    assert "more than 100,000 values" in the_fault(write(text)).problem


def test_a_byte_order_mark_and_merged_keys_are_read(write: Write) -> None:
    text = "\ufeff" + LEAST.replace(
        "{command: [cat]}", "&base {command: [cat], timeout: 5}, b: {<<: *base, timeout: 6}"
    )
    handlers = settings(write(text)).handlers
    assert (handlers["b"].command, handlers["b"].timeout, handlers["default"].timeout) == (["cat"], 6, 5)


def test_words_stay_words(write: Write) -> None:
    text = LEAST.replace(
        "[cat]}", "[cat], env: {A: yes, B: 2026-01-01, C: 12:30}}, on: {command: [x]}, 1: {command: [y]}"
    )
    handlers = settings(write(text)).handlers
    assert set(handlers) == {"default", "on", "1"}
    assert handlers["default"].env == {"A": "yes", "B": "2026-01-01", "C": "12:30"}


# -- URLs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["amqp://h", "amqps://u:p@h:1/v", "sqlite:///q.db", "sqlite:////tmp/q.db"])
def test_a_broker_url(write: Write, url: str) -> None:
    assert settings(write(LEAST), overrides={"broker.url": url}).broker.url == url


@pytest.mark.parametrize(
    ("given", "urls"),
    [
        (["amqp://a", "amqps://b:1/"], ["amqp://a", "amqps://b:1/"]),
        ("amqp://u:p,w@a/%2F , amqp://u:p,w@b", ["amqp://u:p,w@a/%2F", "amqp://u:p,w@b"]),
        (["amqp://a/v"], ["amqp://a/v"]),
        (["sqlite:///q.db"], ["sqlite:///q.db"]),
    ],
)
def test_the_broker_urls_of_a_cluster(write: Write, given: Any, urls: list[str]) -> None:
    assert settings(write(LEAST), overrides={"broker.url": given}).broker.urls == urls


def test_the_broker_urls_of_a_cluster_in_a_variable(write: Write) -> None:
    found = load(
        write("handlers: {default: {command: [x]}}\nstore: {url: sqlite:///s.db}\n"),
        environ={"GRID_ASYNC_TASK_AMQP_URL": "amqp://u:p@a/v,amqp://u:p@b/v"},
        dotenv=None,
    )
    assert found.broker.urls == ["amqp://u:p@a/v", "amqp://u:p@b/v"]


@pytest.mark.parametrize(
    ("urls", "key", "word"),
    [
        ([], "broker.url", "must be text or a list with at least one item"),
        ([7], "broker.url", "must be text or a list"),
        (["amqp://a", ["amqp://b"]], "broker.url", "must be text or a list"),
        ({"a": "amqp://b"}, "broker.url", "must be text or a list"),
        (["amqp://a", ""], "broker.url[1]", "amqp:// or amqps://"),
        (["amqp://a", "sqlite:///q.db"], "broker.url[1]", "amqp:// or amqps://"),
        (["sqlite:///a.db", "sqlite:///b.db"], "broker.url[0]", "amqp:// or amqps://"),
        ("amqps://a/?ssl_ca=/one.pem&cafile=/other.pem", "broker.url", "ssl_ca stands there twice"),
        ("amqps://a/?ssl_mode=verify_ca&ssl_mode=required", "broker.url", "ssl_mode stands there twice"),
        (["amqp://a", "amqp:///"], "broker.url[1]", "must name a host"),
        (["amqp://a", "amqp://b", "amqp://a"], "broker.url[2]", "in the list already"),
        (["amqp://a/v", "amqp://b/w"], "broker.url[1]", "same virtual host"),
        ("amqp://u:s3cret@a,amqp://u:s3cret@b:0", "broker.url[1]", "must name a host"),
    ],
)
def test_broker_urls_that_cannot_work(write: Write, urls: Any, key: str, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(write(LEAST), overrides={"broker.url": urls})
    fault = caught.value.faults[0]
    assert fault.key == key
    assert word in fault.problem
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://h/d", "mysql+pymysql://u:p@h:1/d?charset=utf8mb4", "mysql+aiomysql://h/d"])
def test_a_store_url(write: Write, url: str) -> None:
    assert settings(write(LEAST), overrides={"store.url": url}).store.url == url


@pytest.mark.parametrize(
    ("key", "url", "word"),
    [
        ("broker.url", "", "amqp://"),
        ("broker.url", "redis://h", "amqp://"),
        ("broker.url", "mysql://h/d", "amqp://"),
        ("broker.url", "amqp:h", "amqp://"),
        ("broker.url", "amqp:///v", "must name a host"),
        ("broker.url", "amqp://h:99999", "port"),
        ("broker.url", "amqp://h:0", "must name a host"),
        ("broker.url", "amqp://[::1", "host"),
        ("broker.url", "sqlite://q.db", "sqlite:///"),
        ("store.url", "amqp://h", "mysql://"),
        ("store.url", "postgres://h/d", "mysql://"),
        ("store.url", "mysql://h", "must name a database"),
        ("store.url", "mysql:///d", "must name a host"),
        ("store.url", "sqlite:///", "sqlite:///"),
        ("store.url", "sqlite:///:memory:", "sqlite:///"),
        ("store.url", "sqlite:///a.db?x=1", "sqlite:///"),
    ],
)
def test_a_url_that_cannot_work(write: Write, key: str, url: str, word: str) -> None:
    fault = the_fault(write(LEAST), overrides={key: url})
    assert fault.key == key
    assert word in fault.problem


@pytest.mark.parametrize(
    "url", ["amqp://u:s3cret@", "amqp://u:a/s3cret@h:x", "redis://u:s3cret@h", "mysql://h/?password=s3cret"]
)
def test_a_password_is_never_told(write: Write, url: str) -> None:
    assert "s3cret" not in str(the_fault(write(LEAST), overrides={"broker.url": url}))


# -- keys that contradict each other ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "key", "word"),
    [
        ({"broker.queue_type": "quorum", "broker.max_priority": 9}, "broker.max_priority", "quorum"),
        ({"broker.dead_letter_queue": "task_queue"}, "broker.dead_letter_queue", "itself"),
        ({"retry.strategy": "exponential", "retry.max_delay": 1}, "retry.max_delay", "retry.delay (60 s)"),
        (
            {"retry.strategy": "exponential", "handlers.default.retry.delay": 7200},
            "handlers.default.retry.delay",
            "max_delay (3600 s)",
        ),
        (
            {"handlers.default.retry.strategy": "exponential", "handlers.default.retry.max_delay": 1},
            "handlers.default.retry.max_delay",
            "delay (60 s)",
        ),
        *(
            ({"handlers.default.rate": rate}, "handlers.default.rate", "must be a number of starts per time, as 10/s")
            for rate in ("0/1m", "100", "100/0s", "-1/s", "1.5/s", "10/w", "10/s/s", "", "99999999999/s")
        ),
        ({"handlers.default.rate": 100}, "handlers.default.rate", "put it in quotes"),
        ({"handlers.default.breaker": {"failures": -1}}, "handlers.default.breaker.failures", "at least 0"),
        ({"handlers.default.breaker": {"cool_down": 0}}, "handlers.default.breaker.cool_down", "above 0"),
        ({"handlers.default.breaker": {"cool_down": 1e12}}, "handlers.default.breaker.cool_down", "ten years"),
        (
            {"handlers.default.breaker": {"after": 3}},
            "handlers.default.breaker.after",
            "known here: failures, cool_down",
        ),
        ({"handlers.default.breaker": True}, "handlers.default.breaker", "a section with keys such as failures"),
        ({"handlers.default.command": [""]}, "handlers.default.command", "program"),
        ({"handlers.default.command": []}, "handlers.default.command", "at least one item"),
        ({"handlers.default.command": "cat"}, "handlers.default.command", "a list"),
        ({"handlers.default.command": ["a\0b"]}, "handlers.default.command", "NUL"),
        ({"handlers.default.url": "http://h/"}, "handlers.default.url", "set mode: http"),
        (http(command=["cat"]), "handlers.default.command", "must be left out with mode: http"),
        (http(url=None), "handlers.default.url", "is required with mode: http"),
        (http(url="h:8000/x"), "handlers.default.url", "must be http://127.0.0.1:8000/path"),
        (http(url="ftp://h/x"), "handlers.default.url", "must be http://127.0.0.1:8000/path"),
        (http(url="http://h:99999/x"), "handlers.default.url", "a port is 1 – 65535"),
        (http(url="http://h:0/x"), "handlers.default.url", "must be http://127.0.0.1:8000/path"),
        (http(url="http://a b/x"), "handlers.default.url", "no host name"),
        (http(url="unix://run/app.sock"), "handlers.default.url", "unix:///path/of.sock:/path"),
        (http(url="unix:///app.sock:x"), "handlers.default.url", "unix:///path/of.sock:/path"),
        (http(url=f"unix:///{'x' * 107}"), "handlers.default.url", "more than 107 bytes"),
        (http(channel="events"), "handlers.default.channel", "in its answer"),
        ({"handlers.default.env": {"A=B": "c"}}, "handlers.default.env.A=B", "="),
        ({"handlers.default.exit_codes.retry": [65]}, "handlers.default.exit_codes.permanent", "65"),
        ({"handlers.default.exit_codes.retry": [0]}, "handlers.default.exit_codes.retry[0]", "from 1 to 255"),
        ({"handlers": {"x" * 101: {"command": ["cat"]}}}, f"handlers.{'x' * 101}", "1 – 100 characters"),
        ({"handlers": {"": {"command": ["cat"]}}}, "handlers.", "1 – 100 characters"),
        ({"handlers": {}}, "handlers", "name a handler"),
        ({"store.table_prefix": "a-b"}, "store.table_prefix", "^[A-Za-z0-9_]*$"),
        ({"store.retention_days": 1.5}, "store.retention_days", "must be 0 or a number from 2 to 36500: a message"),
        ({"store.retention_days": 36501}, "store.retention_days", "must be 0 or a number from 2 to 36500"),
        ({"worker.lease": 86401}, "worker.lease", "nobody would take over"),
        ({"worker.lease": 0.5}, "worker.lease", "at least 1"),
        ({"broker.consumer_timeout": 1}, "broker.consumer_timeout", "at least 2"),
        ({"retry.delay": 1e12}, "retry.delay", "ten years"),
        ({"handlers.default.timeout": 1e12}, "handlers.default.timeout", "ten years"),
        ({"handlers.default.retry.max_delay": 1e12}, "handlers.default.retry.max_delay", "ten years"),
        ({"callbacks.queue": "task_queue.dead"}, "callbacks.queue", "dead letters"),
        ({"callbacks.queue": "task_queue.delay.60"}, "callbacks.queue", "comes back as a task"),
        ({"callbacks.queue": "amq.direct"}, "callbacks.queue", "RabbitMQ's own"),
        ({"callbacks.queues": []}, "callbacks.queues", "at least one item"),
        ({"callbacks.queues": ["ok.*", "a[bc"]}, "callbacks.queues[1]", "* for any text"),
        ({"callbacks.queues": [""]}, "callbacks.queues[0]", "at least 1"),
        ({"broker.dead_letter_queue": "task_queue.delay.60"}, "broker.dead_letter_queue", "comes back as a task"),
        ({"broker.queue": "队" * 82}, "broker.queue", "3 bytes too long: with .delay.86400"),
        ({"broker.dead_letter_queue": "队" * 86}, "broker.dead_letter_queue", "at most 255 of UTF-8"),
        ({"callbacks.queue": "队" * 86}, "callbacks.queue", "at most 255 of UTF-8"),
    ],
)
def test_a_contradiction(write: Write, overrides: dict[str, object], key: str, word: str) -> None:
    fault = the_fault(write(LEAST), overrides=overrides)
    assert fault.key == key
    assert word in fault.problem


def test_the_checks_know_the_names_of_the_delay_queues() -> None:
    assert delays.queue_name("", delays.DELAYS[-1]) == rules.LONGEST_ENDING


def test_a_row_is_kept_for_longer_than_any_message_is_delayed() -> None:
    assert delays.DELAYS[-1] < values.SHORTEST_RETENTION * 86400


@pytest.mark.parametrize(
    "overrides",
    [
        {"store.retention_days": 2},
        {"store.retention_days": 0},
        {"worker.lease": 1, "broker.consumer_timeout": 2, "broker.heartbeat": 1},
        {"worker.lease": 86400, "handlers.default.timeout": 86400},
        {"worker.concurrency": 1000, "store.pool_size": 2},
        {"worker.shutdown_grace": 0, "handlers.default.kill_grace": 3600, "progress_interval": 0},
        {"broker.queue": "队" * 81},
    ],
)
def test_what_works_is_allowed(write: Write, overrides: dict[str, object]) -> None:
    assert settings(write(LEAST), overrides=overrides)


# -- values that work, but hardly as they are meant -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "key", "word"),
    [
        ({"broker.url": "amqp://h/?conection_attempts=3"}, "broker.url", "conection_attempts after the ? is not known"),
        ({"broker.url": "amqp://h/?heartbeat=3&auth=plain"}, "broker.url", "set broker.heartbeat"),
        ({"broker.url": ["amqp://h", "amqps://i?x=s3cret"]}, "broker.url", "the option x after"),
        ({"broker.url": "amqp://h", "broker.consumer_timeout": 59}, "broker.consumer_timeout", "half of this"),
        ({"worker.lease": 9}, "worker.lease", "take over tasks that still run"),
        ({"handlers.default.concurrency": 2}, "handlers.default.concurrency", "worker.concurrency, 1,"),
        ({"handlers.default.persistent.processes": 2}, "handlers.default.persistent.processes", "mode: persistent"),
        ({"handlers.default.stall_timeout": 300}, "handlers.default.stall_timeout", "300 s, always comes first"),
        ({"handlers.default.max_result_bytes": 5_000_000}, "handlers.default.max_result_bytes", "discarded"),
        ({"worker.unknown_types": "pass_on"}, "worker.unknown_types", "nothing is passed on"),
        (http(kill_grace=5), "handlers.default.kill_grace", "not ours to start or to end"),
        (http(env={"A": "b"}), "handlers.default.env", "not ours to start or to end"),
    ],
)
def test_a_doubt(write: Write, overrides: dict[str, object], key: str, word: str) -> None:
    told: list[tuple[str, str]] = []
    settings(write(LEAST), overrides=overrides, unusual=lambda *found: told.append(found))
    ((about, hint),) = told
    assert about == key
    assert word in hint


def test_no_doubt_about_the_defaults(write: Write) -> None:
    told: list[tuple[str, str]] = []
    settings(write(LEAST), overrides={"broker.url": "amqp://h"}, unusual=lambda *found: told.append(found))
    assert told == []


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8000", "https://u:p@h/x?y=1", "http://[::1]:8000/", "unix:///run/a.sock", "unix:///a.s:/t"],
)
def test_a_handler_that_is_a_server(write: Write, url: str) -> None:
    assert (
        settings(write(LEAST.replace("{command: [cat]}", f"{{mode: http, url: '{url}'}}"))).handlers["default"].url
        == url
    )


def test_fixed_delays_need_no_highest_delay(write: Write) -> None:
    assert settings(write(LEAST), overrides={"retry.delay": 7200}).retry.delay == 7200


@pytest.mark.parametrize(("key", "value"), [("input", "data"), ("result_from", "stdout")])
def test_a_handler_that_stays_speaks_the_protocol(write: Write, key: str, value: str) -> None:
    persistent: dict[str, object] = {"handlers.default.mode": "persistent"}
    assert settings(write(LEAST), overrides=persistent).handlers["default"].mode == "persistent"
    fault = the_fault(write(LEAST), overrides=persistent | {f"handlers.default.{key}": value})
    assert fault.key == f"handlers.default.{key}"
    assert "mode: persistent" in fault.problem


# -- http -------------------------------------------------------------------------------------------------------------

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("http", "key", "problem"),
    [
        ({"listen": "localhost"}, "http.listen", "must end in a port"),
        ({"listen": "8080"}, "http.listen", "must end in a port"),
        ({"listen": "127.0.0.1:http"}, "http.listen", "must end in a port"),
        ({"listen": "127.0.0.1:70000"}, "http.listen", "must end in a port"),
        ({"listen": "::1:80"}, "http.listen", "in brackets"),
        ({"listen": ":8080"}, "http.token", "is required"),
        ({"listen": "10.0.0.1:8080"}, "http.token", "is required"),
        ({"listen": "api.example.com:8080"}, "http.token", "is required"),
        ({"token": "short"}, "http.token", "16 or more visible ASCII"),
        ({"read_token": "0123456789abcde\xe9"}, "http.read_token", "16 or more visible ASCII"),
        ({"token": TOKEN, "read_token": TOKEN}, "http.read_token", "must not be http.token"),
        ({"token": TOKEN, "token_file": "/run/token"}, "http.token_file", "exclude each other"),
        ({"public_url": "tasks.example.com"}, "http.public_url", "must be http://"),
        ({"base_path": "gridsidecar/"}, "http.base_path", "must start with /"),
    ],
)
def test_an_api_that_cannot_work(write: Write, http: dict[str, str], key: str, problem: str) -> None:
    fault = the_fault(write(LEAST), overrides={f"http.{name}": value for name, value in http.items()})
    assert fault.key == key
    assert problem in fault.problem
    assert TOKEN not in str(fault)


@pytest.mark.parametrize("listen", ["127.0.0.1:8080", "localhost:8080", "[::1]:0"])
def test_an_api_for_this_machine_needs_no_token(write: Write, listen: str) -> None:
    assert settings(write(LEAST), overrides={"http.listen": listen}).http.local


@pytest.mark.parametrize("name", ["token", "token_file", "read_token", "read_token_file"])
def test_an_api_for_others_needs_any_token(write: Write, name: str) -> None:
    over: dict[str, object] = {"http.listen": ":8080", f"http.{name}": TOKEN}
    assert not settings(write(LEAST), overrides=over).http.local


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("callbacks: {allow: [10.0.0.1/8]}", "callbacks.allow[0]", "must be a host, *.domain or a network"),
        ("callbacks: {allow: ['https://x']}", "callbacks.allow[0]", "must be a host, *.domain or a network"),
        ("callbacks: {queue: task_queue}", "callbacks.queue", "must not be the work queue"),
        ("callbacks: {signing_secret: 'whsec_no base64!'}", "callbacks.signing_secret", "must go on in base64"),
        ("notify: [{type: webhook, url: 'http://h', secret: whsec_x}]", "notify[0].secret", "must go on in base64"),
        ("callbacks: {max_retries: 101}", "callbacks.max_retries", "a whole number from 0 to 100"),
        ("notify: [{}]", "notify[0].type", "is required"),
        ("notify: [{type: fax}]", "notify[0].type", "feishu, webhook or email"),
        ("notify: [{type: feishu}]", "notify[0].url", "is required for type feishu"),
        ("notify: [{type: email, smtp_url: 'smtp://h', to: [a@b]}]", "notify[0].from", "is required for type email"),
        (
            "notify: [{type: email, smtp_url: 'http://h', from: a@b, to: [a@b]}]",
            "notify[0].smtp_url",
            "smtp:// or smtps",
        ),
        ("notify: [{type: webhook, url: 'http://h', to: [a@b]}]", "notify[0].to", "means nothing for type webhook"),
        ("notify: [{type: webhook, url: 'http://h', on: [never]}]", "notify[0].on[0]", "failed, success, retrying or"),
        ("notify: [{type: webhook, url: 'http://h', on: []}]", "notify[0].on", "a list with at least one item"),
        ("hooks: {on_startup: make}", "hooks.on_startup", "a list"),
        ("hooks: {on_task_start: []}", "hooks.on_task_start", "a list with at least one item"),
        ("hooks: {timeout: 0}", "hooks.timeout", "a number of seconds above 0"),
        ("log: {language: de}", "log.language", "en or zh"),
    ],
)
def test_faults_of_callbacks_notices_hooks_and_logs(write: Write, text: str, key: str, problem: str) -> None:
    fault = the_fault(write(LEAST + text + "\n"))
    assert fault.key == key
    assert problem in fault.problem


def test_a_file_that_is_far_too_large_is_refused_at_once(tmp_path: Path, write: Write) -> None:
    """Reading 5 MB of YAML takes half a minute and 700 MB."""
    large = "x:\n" + "".join(f"  key{number}: [some, values, {number}]\n" for number in range(150_000))
    assert len(large) > 5_000_000
    began = time.monotonic()
    assert "more than 1 MiB" in the_fault(write(large)).problem
    (tmp_path / ".env").write_text("#" * 2_000_000)
    assert "more than 1 MiB" in the_fault(write(LEAST), dotenv=str(tmp_path / ".env")).problem
    assert time.monotonic() - began < 10  # half a minute and more before
    just = LEAST + "\n#" + "x" * (1024 * 1024 - len(LEAST) - 2)
    assert settings(write(just)).broker.queue


@pytest.mark.parametrize(
    "url",
    [
        "amqp:/user:s3cret@host/",
        "amqp//user:s3cret@host/",
        "user:s3cret@host",
        "ampq://user:s3cret@host/x?y",
        "amqp://user:s3c/ret@host/s3cret@",
        "amqp://user:s3cret",
        "mysql://user:1/x?s3cret=y@host/db",
        "mysql:/user:s3cret@host/db",
        "mysql+pg://user:s3cret@host/db",
        "mysql://user:s3cret@host/db?s3=cret&password=s3cret",
        "sqlite://user:s3cret@host/x.db",
        "s3cret",
    ],
)
@pytest.mark.parametrize("key", ["broker.url", "store.url", "broker.management_url", "http.public_url", "http.listen"])
def test_a_mistyped_url_does_not_show_its_password(write: Write, key: str, url: str) -> None:
    told = str(faults(write(LEAST), overrides={key: url}))
    if key == "http.listen" and "@" not in url:
        return  # a host's name is harmless
    assert "s3cret" not in told
    assert "s3c/ret" not in told


def test_a_variable_that_was_mistaken_for_another_is_not_shown() -> None:
    environ = {"RABBITMQ_HOST": "h", "RABBITMQ_PORT": "s3cret", "MYSQL_HOST": "h", "MYSQL_PORT": "amqp://u:s3cret@h"}
    told = str(faults(None, environ))
    assert "must be a port number" in told
    assert "s3cret" not in told


NOTICE = "{type: webhook, url: 'http://h', secret: %s}"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("callbacks: {signing_secret: '${HOOK}'}", "callbacks.signing_secret"),
        ("callbacks: {signing_secret: '${NONE:-}'}", "callbacks.signing_secret"),
        ("callbacks: {signing_secret: '${BLANK}'}", "callbacks.signing_secret"),
        ("callbacks: {signing_secret: ' ${HOOK} '}", "callbacks.signing_secret"),
        ("notify: [" + NOTICE % "'${HOOK}'" + "]", "notify[0].secret"),
        ("notify: [" + NOTICE % "''" + "]", "notify[0].secret"),
        ("notify: [{type: feishu, url: 'http://h', secret: '${HOOK}'}]", "notify[0].secret"),
        ("http: {listen: ':0', read_token: long-enough-for-a-token, token: '${HOOK}'}", "http.token"),
        ("http: {listen: '127.0.0.1:0', token_file: '${HOOK}'}", "http.token_file"),
    ],
)
def test_an_empty_secret_ends_the_start(write: Write, text: str, key: str) -> None:
    """Nobody who names a variable means to go unsigned, or open to all, where it is empty."""
    path = write(LEAST + text + "\n")
    fault = the_fault(path, {"HOOK": "", "BLANK": "  "})
    assert (fault.key, fault.line) == (key, 4)
    assert fault.problem.startswith("is empty: set the variable behind it")


def test_a_secret_that_a_flag_replaces_may_be_empty(write: Write) -> None:
    path = write(LEAST + "callbacks: {signing_secret: '${HOOK}'}\n")
    loaded = settings(path, {"HOOK": ""}, overrides={"callbacks.signing_secret": "v1,whsec_b2xk"})
    assert loaded.callbacks.signing_secret == "v1,whsec_b2xk"
