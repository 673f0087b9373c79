"""A compose file and a unit of systemd."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gridsidecar.manifests import KINDS
from gridsidecar.manifests.suitability import faults
from gridsidecar.runtime.shutdown import longest_exit
from tests.manifests.printing import application
from tests.support.cli import gridsidecar

QUEUE = 'Big jobs: 10% #1 {{name}} ${"$$"}'  # all of it means something in YAML, in our templates or to systemd


def test_compose_gives_the_servers_their_variables(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = application(write({"worker.concurrency": "${WIDTH}", "broker.url": "${RABBIT}"}), "compose", {"WIDTH": "3"})
    monkeypatch.chdir(tmp_path)
    service = yaml.safe_load(KINDS["compose"](app))["services"]["sidecar"]
    environment = service["environment"]
    assert environment["RABBIT"].startswith("amqp://")
    assert environment["MYSQL_URL"].startswith("mysql://")
    assert environment["FAST_TOKEN"] == "${FAST_TOKEN:?set it in .env}"
    assert environment["WIDTH"] == "3"
    assert environment["MODEL_KEY"] is None  # as it is where compose runs
    assert mounted(service) == "./config.yaml"
    assert float(service["stop_grace_period"].removesuffix("s")) > longest_exit(app.settings)


def test_compose_sets_the_file_of_its_health_check(write: Callable[..., Path]) -> None:
    app = application(write({"worker.heartbeat_file": None}), "compose")
    assert not faults("compose", app)
    service = yaml.safe_load(KINDS["compose"](app))["services"]["sidecar"]
    assert service["environment"]["GRID_ASYNC_TASK_HEARTBEAT_FILE"] == "/tmp/gridsidecar.health"
    assert service["healthcheck"]["test"][-1] == "/tmp/gridsidecar.health"


@pytest.mark.parametrize(
    "name", ["for-$HOME.yaml", "a:b.yaml", 'it\'s "mine" {{image}}.yaml', "配置 #1.yaml", "folder: x/c.yaml"]
)
def test_compose_mounts_a_file_whatever_its_name(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    file = write().rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    service = yaml.safe_load(KINDS["compose"](application(file, "compose")))["services"]["sidecar"]
    assert mounted(service) == f"./{name}".replace("$", "$$")  # no part of it is a variable


def mounted(service: dict[str, Any]) -> str:
    """The configuration on this machine. Compose splits a short form at its colons."""
    (mount,) = service["volumes"]
    assert (mount["type"], mount["target"], mount["read_only"]) == ("bind", "/etc/gridsidecar/config.yaml", True)
    return str(mount["source"])


def unit(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


def test_the_unit_says_how_to_end_and_where_it_may_write(write: Callable[..., Path]) -> None:
    file = write({"broker.queue": QUEUE.replace("$", "$$")})
    app = application(file, "systemd")
    found = unit(KINDS["systemd"](app))
    service = found["Service"]
    assert float(service["TimeoutStopSec"]) > longest_exit(app.settings)
    assert (service["KillMode"], service["DynamicUser"], service["ProtectSystem"]) == ("mixed", "yes", "strict")
    assert service["ExecStart"].endswith(f" run --config {file}")
    assert "10%% #1" in found["Unit"]["Description"]
    assert "Geheim" not in service


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("1$2", "Environment=OWN=1$2"),  # there a dollar is no variable
        ("a\nExecStartPre=/bin/evil", 'Environment="OWN=a\\U0000000aExecStartPre=/bin/evil"'),
        ("back\\", 'Environment="OWN=back\\\\"'),
    ],
)
def test_a_value_stays_on_its_line_of_the_unit(write: Callable[..., Path], value: str, line: str) -> None:
    text = KINDS["systemd"](application(write({"broker.queue": "${OWN}"}), "systemd", {"OWN": value}))
    lines = text.splitlines()
    assert line in lines
    assert lines[lines.index("[Unit]") + 2] == "Wants=network-online.target"
    assert not [each for each in lines if each.startswith("ExecStartPre") or each.endswith("queue back\\")]


def test_a_unit_keeps_sqlite_files_where_it_may_write(write: Callable[..., Path]) -> None:
    """Until its environment file names servers: systemd reads that after these lines."""
    urls = {"broker.url": "${RABBIT:-sqlite:///tasks.db}", "store.url": "${DB:-sqlite:////var/lib/resizer/own.db}"}
    app = application(write(urls), "systemd")
    assert not faults("systemd", app)
    lines = KINDS["systemd"](app).splitlines()
    queue = lines.index("Environment=RABBIT=sqlite:////var/lib/resizer/tasks.db")
    assert lines[queue + 1] == "Environment=DB=sqlite:////var/lib/resizer/own.db"
    assert queue < lines.index("EnvironmentFile=-/etc/resizer/environment")
    assert "StateDirectory=resizer" in lines


def test_systemd_takes_the_unit(write: Callable[..., Path], tmp_path: Path) -> None:
    program = tmp_path / "bin dir" / "gridsidecar"
    program.parent.mkdir()
    program.symlink_to("/bin/true")
    file = write({"broker.queue": QUEUE.replace("$", "$$"), "store.url": "${DB:-sqlite:///a b%.db}"})
    done = gridsidecar(
        tmp_path,
        "manifests",
        "systemd",
        env={"PATH": f"{program.parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    service = tmp_path / "own.service"
    service.write_text(done.stdout)
    assert str(file) in done.stdout
    assert set(unit(done.stdout)) == {"DEFAULT", "Unit", "Service", "Install"}
    if shutil.which("systemd-analyze") is not None:  # it needs no systemd that runs
        verify = ["systemd-analyze", "verify", str(service)]
        verified = subprocess.run(verify, capture_output=True, text=True, check=False)
        assert (verified.returncode, verified.stderr) == (0, "")
