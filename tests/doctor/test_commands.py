"""Handlers, callbacks and the command line of doctor."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.looking import look
from tests.doctor.test_store import config, migrate
from tests.support.cli import gridsidecar, on_terminal, write_config
from tests.support.manifests import DEPLOY
from tests.support.web import web_server


@pytest.mark.parametrize(
    ("handler", "state", "word"),
    [
        ({"command": ["cat"]}, "ok", "/cat"),
        ({"command": ["no-such-program"]}, "fail", "not in PATH"),
        ({"command": ["cat x"]}, "fail", "cat x is not a program"),
        ({"command": ["/no such/cat x"]}, "fail", "/no such/cat x does not exist"),
        ({"command": ["cat"], "env": {"PATH": "/nowhere"}}, "fail", "(/nowhere)"),
        ({"command": ["cat"], "env": {"PATH": "/a:/b:/c"}}, "fail", "cat is not in PATH (3 folders)"),
        ({"command": ["cat"], "cwd": "/no/such/folder"}, "fail", "/no/such/folder"),
        ({"command": ["./plain"]}, "fail", "not executable"),
        ({"command": ["./odd"]}, "fail", "'/no/interpreter'"),
        ({"command": ["python3", "handler.py"]}, "fail", "no handler.py"),
        ({"command": ["python3", "-m", "handler.py"]}, "ok", "python3"),
        ({"command": ["sh", "there.sh"]}, "ok", "there.sh"),
    ],
)
async def test_a_command(tmp_path: Path, handler: dict[str, Any], state: str, word: str) -> None:
    (tmp_path / "plain").write_text("x")
    (tmp_path / "there.sh").write_text("x")
    (tmp_path / "odd").write_text("#!/no/interpreter\n")
    (tmp_path / "odd").chmod(0o755)
    told = {
        **config(tmp_path, f"sqlite:///{tmp_path}/s.db"),
        "handlers": {"default": {"cwd": str(tmp_path), **handler}},
    }
    finding = (await look(tmp_path, told, "handlers"))["handlers.default"]
    assert (finding.state, word in finding.found) == (state, True), finding


async def test_a_server(tmp_path: Path) -> None:
    async with web_server() as web:
        told = {
            **config(tmp_path, f"sqlite:///{tmp_path}/s.db"),
            "handlers": {"default": {"mode": "http", "url": f"{web.url}/tasks"}},
        }
        found = await look(tmp_path, told, "handlers", "worker")
        assert (found["handlers.default"].state, web.requests) == ("ok", [])
        assert found["worker.shutdown_grace"].state == "ok"
        await web.close()
        finding = (await look(tmp_path, told, "handlers"))["handlers.default"]
        assert (finding.state, "could not be reached: Connection refused" in finding.found) == ("fail", True)


async def test_hooks_and_the_time_to_leave(tmp_path: Path) -> None:
    told = {**config(tmp_path, f"sqlite:///{tmp_path}/s.db"), "hooks": {"on_startup": ["no-such-hook"]}}
    found = await look(tmp_path, told, "hooks", "worker")
    assert found["hooks.on_startup"].state == "fail"
    assert found["worker.shutdown_grace"].state == "ok", "a worker on this machine seldom leaves"
    assert "default" in found["worker.shutdown_grace"].found
    found = await look(tmp_path, told, "worker", manifest=DEPLOY / "deployment.yaml")
    assert found["worker.shutdown_grace"].state == "warn"
    told["worker"] = {"shutdown_grace": 311}
    found = await look(tmp_path, told, "worker", manifest=DEPLOY / "deployment.yaml")
    assert found["worker.shutdown_grace"].state == "ok"


async def test_whom_callbacks_go_to(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    await migrate(url)
    with closing(sqlite3.connect(tmp_path / "s.db")) as database, database:
        database.execute(
            "INSERT INTO grid_async_task_tasks_callbacks "
            "(task_id, id, rerun, attempt, queue, kind, url, receiver, body, next_try_at, created_at) "
            "VALUES ('t', 'c', 0, 1, 'q', 'http', 'http://u:s3cret@127.0.0.1/x', 'r', '{}', '2020-01-01', '2020-01-01')"
        )
    ours = {**config(tmp_path, url), "broker": {"url": "amqp://h", "queue": "q"}}
    finding = (await look(tmp_path, ours, "callbacks"))["callbacks.targets"]
    assert finding.state == "fail"
    assert "loopback" in finding.found
    assert "s3cret" not in finding.found
    assert finding.found.endswith("(task t)")
    elsewhere = config(tmp_path, url)
    assert (await look(tmp_path, elsewhere, "callbacks"))["callbacks.targets"].state == "ok", "another queue's"
    with closing(sqlite3.connect(tmp_path / "s.db")) as database, database:
        database.execute("UPDATE grid_async_task_tasks_callbacks SET dead = 1, next_try_at = NULL")
    given_up = (await look(tmp_path, ours, "callbacks"))["callbacks.targets"]
    assert given_up.state == "warn", "nothing waits for it any more"
    allowed = {**ours, "callbacks": {"allow": ["127.0.0.1", "no-such-host.invalid"]}}
    found = await look(tmp_path, allowed, "callbacks")
    assert (found["callbacks.targets"].state, found["callbacks.allow"].state) == ("ok", "warn")


async def test_one_is_told_as_one(tmp_path: Path) -> None:
    told = config(tmp_path, f"sqlite:///{tmp_path}/s.db")
    for allow, words in (["127.0.0.1"], "1 entry"), (["127.0.0.1", "::1"], "2 entries"):
        found = await look(tmp_path, {**told, "callbacks": {"allow": allow}}, "callbacks")
        assert found["callbacks.allow"].found == words


def test_json_is_alone_on_stdout_and_exit_codes_say_what_was_found(tmp_path: Path) -> None:
    write_config(tmp_path, {"default": {"command": ["cat"], "timeout": 1, "kill_grace": 1}})
    done = gridsidecar(tmp_path, "doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["schema_version"], told["counts"]["fail"]) == (1, 0)
    assert {"id", "state", "found", "advice"} == set(told["findings"][0])
    assert told["counts"]["warn"] == 0
    write_config(tmp_path, {"default": {"command": ["cat"]}}, callbacks={"allow": ["no-such-host.invalid"]})
    assert gridsidecar(tmp_path, "doctor").returncode == 0
    assert gridsidecar(tmp_path, "doctor", "--strict").returncode == 1
    assert gridsidecar(tmp_path, "doctor", "--strict", "--only", "handlers", "--only", "broker.*").returncode == 0
    done = gridsidecar(tmp_path, "doctor", "--only", "brokr")
    assert (done.returncode, done.stdout) == (64, "")
    assert "broker.connect" in done.stderr


def test_faults_of_the_configuration_are_findings_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/q.db"
    (tmp_path / "config.yaml").write_text(
        f"broker: {{url: 'http://x'}}\nstore:\n  url: {url}\n  pool_size: -1\n"
        "handlers:\n  default: {command: [no-such]}\n"
    )
    done = gridsidecar(tmp_path, "doctor")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert sum("config.yaml:" in line and line.startswith("fail") for line in lines) == 2
    assert any(re.match(r"fail +config +config.yaml:4: store.pool_size = -1", line) for line in lines)
    assert any(re.match(r"unknown +broker.connect ", line) for line in lines)
    assert any(re.match(r"ok +store.connect ", line) for line in lines)
    assert any(re.match(r"fail +handlers.default ", line) for line in lines)
    (tmp_path / "config.yaml").write_text("broker: [\n")
    done = gridsidecar(tmp_path, "doctor", "--json")
    assert done.returncode == 1
    assert [each["id"] for each in json.loads(done.stdout)["findings"]] == ["config"]


def test_on_a_terminal_it_is_grouped(tmp_path: Path) -> None:
    write_config(tmp_path, {"default": {"command": ["no-such"]}})
    code, shown = on_terminal(tmp_path, "doctor")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert code == 1
    assert re.search(r"^handlers\r?\n +fail +default +no-such is not in PATH", plain, re.MULTILINE)
    assert "→ install it" in plain
    assert max(len(line) for line in plain.splitlines()) <= 80


def test_what_failed_is_not_hidden_by_what_could_not_be_asked(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "broker: {url: 'amqp://127.0.0.1:1/'}\nstore: {url: 'mysql://u:p@127.0.0.1:1/d'}\n"
        "handlers: {default: {command: [cat]}}\n"
    )
    done = gridsidecar(tmp_path, "doctor")
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    named = {line.split()[1]: line for line in lines[:-1]}
    assert named["broker.connect"].startswith("fail ")
    assert named["store.connect"].startswith("fail ")
    told = re.fullmatch(r"unknown +broker\.\* +(\d+) checks: could not be asked: see broker.connect", named["broker.*"])
    assert told is not None
    assert [name for name in named if named[name].startswith("unknown") and "see store.connect" in named[name]] == [
        "store.*",
        "callbacks.targets",
    ]
    findings = json.loads(gridsidecar(tmp_path, "doctor", "--json").stdout)["findings"]  # each, for programs
    unasked = [each["id"] for each in findings if each["found"] == "could not be asked: see broker.connect"]
    assert len(unasked) == int(told[1]) > 3
    assert "checks: could not" not in str(findings)
    _, shown = on_terminal(tmp_path, "doctor")
    assert re.search(rf"unknown +\* +{told[1]} checks: could not be asked", re.sub(r"\x1b\[[0-9;]*m", "", shown))
