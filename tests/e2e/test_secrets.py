"""Secrets planted wherever a configuration takes some, and looked for in everything that comes out."""

from __future__ import annotations

import json
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import execute_on_server
from tests.e2e.conftest import Start
from tests.support.cli import gridsidecar
from tests.support.place import Place
from tests.support.servers import free_port
from tests.support.waiting import eventually

MARK = "plant3d"

SPY = """
import json, os, sys
seen = {"env": dict(os.environ), "stdin": sys.stdin.read(), "ours": os.getppid()}
with open(f"/proc/{os.getppid()}/cmdline") as file:
    seen["parent"] = file.read()
with open(os.environ["REPORT"], "w") as file:
    json.dump(seen, file)
sys.exit(65)
"""


def plant(name: str) -> str:
    return f"{MARK}-{name}-{secrets.token_hex(8)}"


@pytest.fixture
def account(mysql_server_url: str) -> Iterator[tuple[str, str]]:
    """A user of the database, and its password."""
    name, password = f"gs_{secrets.token_hex(4)}", plant("mysql")
    execute_on_server(mysql_server_url, f"create user '{name}'@'%' identified by '{password}'")
    execute_on_server(mysql_server_url, f"grant all on *.* to '{name}'@'%'")
    yield name, password
    execute_on_server(mysql_server_url, f"drop user '{name}'@'%'")


@pytest.mark.parametrize("processes", [1, 2])
async def test_no_secret_comes_out(
    place: Place, account: tuple[str, str], start: Start, tmp_path: Path, processes: int
) -> None:
    user, password = account
    parts = urlsplit(place.store_url)
    files = {name: tmp_path / f"secret-{name}" for name in ("mysql", "broker", "signing", "token")}
    token = plant("token")
    files["mysql"].write_text(password + "\n")
    files["broker"].write_text(place.broker_url + "\n")
    files["signing"].write_text(plant("signing") + "\n")
    files["token"].write_text(token + "\n")
    (tmp_path / "spy.py").write_text(SPY)
    report = tmp_path / "report"
    port, nobody = free_port(), "http://127.0.0.1:9"
    spy = [sys.executable, "-I", "-S", str(tmp_path / "spy.py")]
    config: dict[str, Any] = {
        "broker": {
            "queue": place.queue,
            "queue_type": place.queue_type,
            "management_url": f"http://u:{plant('mgmt')}@127.0.0.1:9",
        },
        "store": {"url": f"mysql://{user}:${{file:{files['mysql']}}}@{parts.hostname}:{parts.port}{parts.path}"},
        "worker": {"processes": processes, "concurrency": 2, "shutdown_grace": 2},
        "handlers": {
            "default": {
                "command": [*spy, f"--key={plant('argument')}", plant("word")],
                "env": {"REPORT": str(report), "DSN": plant("dsn")},
            },
            "server": {"mode": "http", "url": f"http://u:{plant('login')}@127.0.0.1:9/{plant('path')}?k={plant('k')}"},
            "gone": {"command": ["./gone", plant("gone")]},
            "warm": {"mode": "persistent", "command": ["false", f"--key={plant('warm')}"]},
        },
        "hooks": {"on_task_end": ["true", plant("hook")]},
        "callbacks": {"signing_secret": f"${{file:{files['signing']}}}", "allow": ["127.0.0.1"], "max_retries": 0},
        "notify": [
            {
                "type": "webhook",
                "url": f"http://127.0.0.1:9/services/{plant('webhook')}?code={plant('code')}",
                "secret": plant("notify"),
            },
            {"type": "feishu", "url": f"{nobody}/x/{plant('feishu')}", "secret": plant("sign")},
            {"type": "email", "smtp_url": f"smtp://u:{plant('smtp')}@127.0.0.1:9", "from": "a@b.c", "to": ["d@e.f"]},
        ],
        "http": {
            "listen": f"127.0.0.1:{port}",
            "token": f"${{file:{files['token']}}}",
            "read_token": plant("read-token"),
        },
        "log": {"level": "DEBUG", "dir": str(tmp_path / "logs"), "stats_interval": 1},
    }
    variables = {
        "UNRELATED": plant("variable"),
        "MYSQL_PASSWORD": plant("unused"),
        "GRIDSIDECAR_X": plant("ours"),
        "HTTPS_PROXY": f"http://u:{plant('proxy')}@127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={plant('otel')}",
    }
    sidecar = start(config, "--url-file", str(files["broker"]), variables=variables)
    await sidecar.ready()
    await place.publish(
        {
            "task_id": "t",
            "data": {},
            "callback_type": "http",
            "callback_url": f"http://127.0.0.1:9/cb?sig={(signature := plant('callback'))}",
        }
    )
    await place.publish(*({"task_id": name, "task_type": name, "data": {}} for name in ("server", "gone", "warm")))
    await eventually(lambda: place.status("t") == "failed", timeout=30)
    await eventually(lambda: "127.0.0.1:9 could not be reached" in sidecar.text, timeout=30)
    await eventually(lambda: "notices do not arrive" in sidecar.text, timeout=30)
    await eventually(lambda: "callback" in sidecar.text, timeout=30)

    outputs: dict[str, str] = {}

    def ask(path: str) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            outputs[f"GET {path}"] = reply.read().decode()

    for path in ("/metrics", "/readyz", "/v1/tasks/t", "/v1/tasks", "/v1/callbacks", "/v1/overview", "/v1/stats"):
        try:
            ask(path)
        except urllib.error.HTTPError as error:
            outputs[f"GET {path}"] = error.read().decode()
    file = str(next(tmp_path.glob("sidecar*/config.yaml")))
    broker = ("--url-file", str(files["broker"]))
    shell = {**variables, "GRID_ASYNC_TASK_AMQP_URL_FILE": str(files["broker"])}
    for words in (
        ("config", "print", "-c", file),
        ("config", "print", "--json", "-c", file),
        ("config", "print", "--origins", "-c", file),
        ("exec", "--type", "server", "-c", file),
        ("exec", "--type", "gone", "-c", file),
        ("check", "--type", "warm", "-c", file),
        ("manifests", "deployment", "-c", file),
        ("stats", "-c", file),
        ("config", "validate", "-c", file),
        ("doctor", "-c", file),
        ("status", "t", "-c", file),
        ("status", "t", "--json", "-c", file),
        ("status", "no-such-task", "-c", file),
        ("callbacks", "list", "--json", "-c", file),
        ("tasks", "list", "--json", "-c", file),
        ("queue-info", "-c", file, *broker),
    ):
        done = gridsidecar(tmp_path, *words, env=shell)
        assert "Traceback" not in done.stderr
        outputs[" ".join(words[:3])] = outputs.get(" ".join(words[:3]), "") + done.stdout + done.stderr
    for pid in Path("/proc").glob("[0-9]*"):
        try:
            owner = (pid / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "gridsidecar" in owner and (str(tmp_path) in owner or pid.name == str(sidecar.pid)):
            outputs[f"cmdline {pid.name}"] = owner
    seen = json.loads(report.read_text())
    environment = seen["env"]
    assert MARK in environment.pop("DSN"), "what `env` names the handler gets"
    outputs["handler's environment"] = json.dumps(environment)
    outputs["handler's stdin"] = seen["stdin"]
    outputs["handler's parent"] = seen["parent"]
    sidecar.terminate()
    assert await sidecar.ended() == 0
    outputs["stderr"] = sidecar.text
    outputs["log file"] = "".join(path.read_text() for path in (tmp_path / "logs").glob("*.log"))
    assert len(outputs["log file"]) > 100
    assert "***" in outputs["config print -c"]
    for where in (
        "status t --json",
        "callbacks list --json",
        "tasks list --json",
    ):  # whoever has the database's password
        outputs[where] = outputs[where].replace(signature, "")  # sees its rows as they are, to send them again
    for where, text in outputs.items():
        assert MARK not in text, f"{where}: …{text[max(0, text.find(MARK) - 200) : text.find(MARK) + 60]}…"
        assert "guest:guest" not in text, where


FAILING = {
    "nothing listens": ("amqp://u:{}@127.0.0.1:9/", "mysql://u:{}@127.0.0.1:9/d"),
    "no such name": ("amqps://u:{}@no-such.invalid/v", "mysql://u:{}@no-such.invalid/d?ssl_mode=required"),
    "no such login": ("amqp://u:{}@BROKER/", "mysql://u:{}@STORE/d"),
    "each is the other's": ("amqp://u:{}@STORE/", "mysql://u:{}@BROKER/d"),
    "no TLS there": ("amqps://u:{}@BROKER/", "mysql://u:{}@BROKER/d?ssl_mode=required"),
    "a slash too few": ("amqp:/u:{}@h/", "mysql:/u:{}@h/d"),
    "no scheme": ("u:{}@h:5672", "u:{}@h:3306/d"),
    "not encoded": ("amqp://u:a/b#{}@h/", "mysql://u:a?{}@h/d"),
    "a port that is none": ("amqp://u:{}@h:x/", "mysql://u:{}@h:99999/d"),
    "options": ("amqp://h/?auth={}&cadata={}", "mysql://h/d?password={}&passwd={}"),
    "a list": (["amqp://u:{}@127.0.0.1:9/", "amqp://v:{}@127.0.0.1:9/"], "mysql://u:{}@127.0.0.1:9/d"),
}


@pytest.mark.parametrize("urls", FAILING.values(), ids=FAILING)
def test_what_fails_tells_no_secret(
    urls: tuple[Any, str], amqp_url: str, mysql_server_url: str, tmp_path: Path
) -> None:
    places = {"BROKER": urlsplit(amqp_url).netloc.rpartition("@")[2], "STORE": urlsplit(mysql_server_url).netloc}
    text = json.dumps(
        {"broker": {"url": urls[0]}, "store": {"url": urls[1]}, "handlers": {"default": {"command": ["true"]}}}
    )
    for name, place in places.items():
        text = text.replace(name, place.rpartition("@")[2])
    (tmp_path / "c.yaml").write_text(text.replace("{}", plant("url")))
    for words in (
        ("config", "validate"),
        ("config", "print"),
        ("doctor",),
        ("doctor", "--json"),
        ("submit", "--type", "t"),
        ("queue-info",),
        ("stats",),
        ("serve",),
    ):
        done = gridsidecar(tmp_path, *words, "-c", "c.yaml")
        told = done.stdout + done.stderr
        assert "Traceback" not in told
        assert MARK not in told, f"{words}: …{told[max(0, told.find(MARK) - 200) : told.find(MARK) + 60]}…"
