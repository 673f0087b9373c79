"""Configurations and command lines of which no manifest can be made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from gridsidecar.manifests.rendering import scalar
from gridsidecar.manifests.suitability import doubts, faults
from tests.manifests.printing import application
from tests.support.cli import Finished, gridsidecar
from tests.support.kubernetes import OLDEST, validate
from tests.support.manifests import Deployed

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("deployment", {"broker.url": "sqlite:///q.db"}, "broker.url"),
    ("job", {"store.url": "sqlite:///q.db"}, "store.url"),
    ("compose", {"store.url": "sqlite:///q.db"}, "store.url"),
    ("compose", {"broker.url": "amqp://rabbit/"}, "broker.url"),
    ("secret", {"store.url": "sqlite:///q.db"}, "store.url"),
    ("cronjob", {"worker.heartbeat_file": "/run/alive"}, "worker.heartbeat_file"),
    ("deployment", {"worker.burst": True}, "worker.burst"),
    ("deployment", {"worker.idle_timeout": 5}, "worker.idle_timeout"),
    ("compose", {"worker.idle_timeout": 5}, "worker.idle_timeout"),
    ("systemd", {"worker.burst": True}, "worker.burst"),
    ("job", {"worker.burst": True}, "worker.burst"),
    ("job", {"worker.idle_timeout": 59}, "worker.idle_timeout"),
    ("job", {"worker.idle_timeout": 0}, "worker.idle_timeout"),
    ("job", {"worker.processes": 2}, "worker.processes"),
    ("job", {"broker.queue": "it's"}, "broker.queue"),
    ("deployment", {"http.listen": ":80", "http.token_file": "/run/token"}, "http.token_file"),
    ("deployment", {"log.dir": "/var/log/x"}, "log.dir"),
    ("systemd", {"store.url": "sqlite:///q.db"}, "store.url"),
    ("systemd", {"store.url": "sqlite:////var/lib/other/q.db"}, "store.url"),
]


@pytest.mark.parametrize(("kind", "changes", "key"), WRONG, ids=lambda each: each if isinstance(each, str) else "")
def test_a_configuration_that_does_not_fit(
    write: Callable[..., Path], kind: str, changes: dict[str, Any], key: str
) -> None:
    (fault,) = faults(kind, application(write(changes), kind))
    assert fault.key == key
    assert fault.line, "where it stands"


def test_all_that_is_wrong_is_said_at_once(write: Callable[..., Path]) -> None:
    file = write({"broker.url": "sqlite:///q.db", "worker.heartbeat_file": "/run/a", "worker.idle_timeout": 9})
    done = gridsidecar(file.parent, "manifests", "deployment", "--image", "x")
    assert (done.returncode, done.stdout) == (78, "")
    assert [line.split(": ")[1].split(" ")[0] for line in done.stderr.splitlines()] == [
        "broker.url",
        "worker.heartbeat_file",
        "worker.idle_timeout",
    ]


@pytest.mark.parametrize(
    ("language", "told"), [("en", "cronjob needs --schedule, such as"), ("zh", "cronjob 需要 --schedule，例如")]
)
def test_options_secrets_and_settings_are_told_in_one_answer(
    write: Callable[..., Path], language: str, told: str
) -> None:
    changes = {"store.url": "sqlite:///q.db", "handlers.fast.command": ["./run", "--password", "Geheim"]}
    file = write(changes)
    done = gridsidecar(file.parent, "manifests", "cronjob", "--name", "Big", "--lang", language)
    assert (done.returncode, done.stdout) == (64, "")
    lines = done.stderr.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["cronjob", "cronjob", "--name"]
    assert lines[1].startswith(told)
    assert [line.split(": ")[1].split(" ")[0] for line in lines[3:]] == ["handlers.fast.command[2]", "store.url"]
    assert "Geheim" not in done.stderr


def test_a_heartbeat_that_is_turned_off_is_refused(write: Callable[..., Path]) -> None:
    file = write()
    file.write_text(file.read_text().replace("heartbeat_file: /tmp/alive", "heartbeat_file: null"))
    (fault,) = faults("deployment", application(file, "deployment"))
    assert (fault.key, fault.problem) == (
        "worker.heartbeat_file",
        "is what the probes read: leave it out, or write /tmp/gridsidecar.health",
    )


@pytest.mark.parametrize("folder", ["/tmp", "/var/tmp"])
def test_a_unit_does_not_see_what_is_in_its_own_tmp(write: Callable[..., Path], folder: str) -> None:
    with TemporaryDirectory(dir=folder) as below:
        file = Path(below, "config.yaml")
        file.write_text(write().read_text())
        found = faults("systemd", application(file, "systemd", installed=f"{below}/bin/gridsidecar"))
        assert [(fault.key, folder in fault.problem) for fault in found] == [("", True), ("program", True)]
        done = gridsidecar(file.parent, "manifests", "systemd", "--lang", "zh")
    assert (done.returncode, done.stdout) == (78, "")
    assert f"config.yaml: 服务有自己的 {folder}，其中没有此文件：请" in done.stderr


def test_an_sqlite_file_elsewhere_is_told_with_what_to_write(write: Callable[..., Path]) -> None:
    (fault,) = faults("systemd", application(write({"store.url": "sqlite:///q.db"}), "systemd"))
    assert fault.problem.endswith("write sqlite:////var/lib/resizer/q.db")


def test_a_program_that_the_service_may_not_run_is_told(write: Callable[..., Path], tmp_path: Path) -> None:
    program = tmp_path / "gridsidecar"
    program.touch(0o700)
    told = list(doubts("systemd", application(write(), "systemd", installed=str(program))))
    assert f"may not run {program}: install it in /opt/resizer" in told[-1]


def test_a_file_that_the_service_may_not_read_is_told(write: Callable[..., Path]) -> None:
    file = write()
    file.chmod(0o600)
    (told,) = doubts("systemd", application(file, "systemd"))
    assert f"may not read {file}" in told


@pytest.mark.parametrize("timeout", [300, 0])
def test_what_is_cut_short_is_told(write: Callable[..., Path], timeout: int) -> None:
    file = write({"worker.shutdown_grace": 30, "handlers.default.timeout": timeout})
    (told,) = doubts("deployment", application(file, "deployment"))
    assert "handlers.default" in told
    assert not list(doubts("job", application(file, "job")))


def run(folder: Path, *arguments: str) -> Finished:
    return gridsidecar(folder, "manifests", *arguments)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["deployment"], 64, "deployment needs --image"),
        (["cronjob", "--image", "x"], 64, "cronjob needs --schedule"),
        (["cronjob", "--image", "x", "--schedule", "* * * *"], 64, "five fields"),
        (["cronjob", "--image", "x", "--schedule", "* * * * *\nx: y"], 64, "five fields"),
        (["job", "--image", "x", "--schedule", "@daily"], 64, "--schedule means nothing for job"),
        (["job", "--image", "x", "--pdb"], 64, "--pdb means nothing for job: a budget"),
        (["systemd", "--image", "x"], 64, "--image means nothing for systemd"),
        (["compose", "--image", "x", "--inject", "y"], 64, "--inject means nothing for compose"),
        (["deployment", "--image", ""], 64, "--image must name an image"),
        (["deployment", "--image", "x y"], 64, "--image must name an image"),
        (["deployment", "--image", "x", "--inject", "x\nkind: Pod"], 64, "--inject must name an image"),
        (["deployment", "--image", "x", "--name", "Resizer"], 64, "--name must have"),
        (["deployment", "--image", "x", "--name", 53 * "a"], 64, "--name must have"),
        (["deployment", "--image", "x", "--namespace", "a: b"], 64, "--namespace must have"),
        (["deployment", "--image", "x", "--image-pull-secret", "-"], 64, "--image-pull-secret must have"),
        (["deployment", "--image", "x", "--replicas", "2", "--max-replicas", "3"], 64, "choose one of them"),
        (["deployment", "--image", "x", "--max-replicas", "0"], 64, "--max-replicas"),
        (["pod", "--image", "x"], 64, "pod"),
        (["deployment", "--image", "x", "--replicas", "0", "--max-replicas", "3"], 64, "choose one of them"),
        (["job", "--image", "x", "--inject", "y", "--container", "z"], 64, "choose one of them"),
        (["job", "--image", "x", "--container", "z:"], 64, "--container must name an image"),
        (["deployment", "--image", "x", "--config", "none.yaml"], 78, "none.yaml: cannot read the file"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else None,
)
def test_a_command_line_that_makes_no_sense(
    write: Callable[..., Path], arguments: list[str], code: int, told: str
) -> None:
    done = run(write().parent, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr


def test_a_folder_without_a_configuration(tmp_path: Path) -> None:
    done = run(tmp_path, "deployment", "--image", "x")
    assert (done.returncode, done.stdout) == (64, "")
    assert "there is no config.yaml here" in done.stderr


def test_a_configuration_that_is_none(write: Callable[..., Path]) -> None:
    done = run(write({"worker.concurency": 3}).parent, "deployment", "--image", "x")
    assert (done.returncode, done.stdout) == (78, "")
    assert "did you mean concurrency?" in done.stderr


def test_a_variable_that_no_secret_has_must_be_set(write: Callable[..., Path]) -> None:
    done = run(write({"worker.concurrency": "${WIDTH}"}).parent, "deployment", "--image", "x")
    assert (done.returncode, done.stdout) == (78, "")
    assert "the variable WIDTH is not set" in done.stderr


@pytest.mark.parametrize(
    "text", ["a", "", "1", "1.5", "true", "No", "a: b", "a #b", "- x", "[x", "é\n", "~", "*/5 * * * *"]
)
def test_a_text_stays_a_text(text: str) -> None:
    assert yaml.safe_load(f"key: {scalar(text)}    # note") == {"key": text}


def test_ours_are_what_the_command_line_prints(write: Callable[..., Path]) -> None:
    """All of it at once, as people type it."""
    options = "-n jobs --name own --secret s --image-pull-secret a --image-pull-secret b --max-replicas 3 --pdb"
    done = run(write().parent, "deployment", "--image", "x", "--network-policy", "--inject", "y", *options.split())
    assert (done.returncode, done.stderr) == (0, "")
    (write().parent / "printed.yaml").write_text(done.stdout)
    deployed = Deployed("printed.yaml", write().parent)
    validate(deployed.objects, OLDEST)
    kinds = ["ConfigMap", "Deployment", "PodDisruptionBudget", "NetworkPolicy"]
    assert [each["kind"] for each in deployed.objects][:4] == kinds
    assert deployed.scaler["spec"]["maxReplicaCount"] == 3
    assert deployed.template["spec"]["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]


def test_compose_has_services_and_no_pods(write: Callable[..., Path]) -> None:
    server = {"mode": "http", "url": "http://127.0.0.1:8000/tasks"}
    (fault,) = faults("compose", application(write({"handlers": {"default": server}}), "compose"))
    assert fault.key == "handlers.default.url"
    assert "service" in fault.problem
    assert "--container" not in fault.problem
