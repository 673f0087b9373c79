"""Manifests as doctor reads them: ours are right, and each thing that can be wrong with one is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gridsidecar.doctor.manifest import keda_vhost
from tests.doctor.looking import look, states
from tests.support.manifests import DEPLOY, manifests

CONFIG = {"broker": {"url": "amqp://u:p@127.0.0.1:1/prod"}, "store": {"url": "mysql://u:p@127.0.0.1:1/grid"}}


@pytest.mark.parametrize("name", ["deployment.yaml", "scaledjob.yaml"])
async def test_ours_are_right(tmp_path: Path, name: str) -> None:
    found = await look(tmp_path, CONFIG, "kubernetes", manifest=DEPLOY / name)
    assert set(states(found).values()) == {"ok", "unknown"}, found
    assert {name for name, state in states(found).items() if state == "unknown"} == {
        "kubernetes.trigger.vhost",
        "kubernetes.connections",
    }


@pytest.mark.parametrize("name", ["deployment.yaml", "scaledjob.yaml"])
async def test_variables_that_only_the_pods_have_are_not_asked_for(tmp_path: Path, name: str) -> None:
    config = {"broker": {"url": "${AMQP_URL}"}, "store": {"url": "${MYSQL_URL}"}}
    found = await look(tmp_path, config, "kubernetes", manifest=DEPLOY / name)
    assert {name for name, state in states(found).items() if state != "ok"} == {"kubernetes.trigger.vhost"}, found


def objects(**secret: str) -> dict[str, Any]:
    found = {
        each["kind"]: each for each in manifests(DEPLOY / "deployment.yaml") if each["kind"] != "TriggerAuthentication"
    }
    found |= {
        each["metadata"]["name"]: each for each in manifests(DEPLOY / "deployment.yaml") if "Trigger" in each["kind"]
    }
    found["Secret"] = {"kind": "Secret", "metadata": {"name": "gridsidecar"}, "stringData": secret}
    return found


def change(found: dict[str, Any], where: str, value: Any) -> None:
    """Set what stands at `Kind.key.0.key`; None takes it away."""
    *path, last = where.split(".")
    target: Any = found
    for key in path:
        target = target[int(key)] if key.isdigit() else target[key]
    if value is None:
        del target[int(last) if last.isdigit() else last]
    else:
        target[last] = value


RABBIT, MYSQL = "ScaledObject.spec.triggers.0.metadata", "ScaledObject.spec.triggers.1.metadata"
POD = "Deployment.spec.template.spec"


@pytest.mark.parametrize(
    ("where", "value", "name", "state"),
    [
        (f"{RABBIT}.protocol", "amqp", "trigger.rabbitmq", "fail"),
        (f"{RABBIT}.protocol", None, "trigger.rabbitmq", "fail"),
        (f"{RABBIT}.queueName", "other", "trigger.rabbitmq", "fail"),
        (f"{RABBIT}.excludeUnacknowledged", "true", "trigger.rabbitmq", "fail"),
        (f"{RABBIT}.mode", "MessageRate", "trigger.rabbitmq", "warn"),
        (f"{RABBIT}.value", "5", "trigger.values", "warn"),
        (f"{RABBIT}.value", "many", "trigger.values", "fail"),
        (f"{MYSQL}.query", "SELECT 1", "trigger.owed_work", "fail"),
        (f"{MYSQL}.query", "SELECT COUNT(*) FROM grid_async_task_tasks_owed_work", "trigger.owed_work", "fail"),
        ("ScaledObject.spec.triggers.1", None, "trigger.owed_work", "fail"),
        ("ScaledObject.spec.triggers", [], "trigger.rabbitmq", "fail"),
        (f"{POD}.terminationGracePeriodSeconds", 150, "termination_grace", "fail"),
        (f"{POD}.terminationGracePeriodSeconds", None, "termination_grace", "fail"),
        ("Deployment.spec.replicas", 3, "leaving", "warn"),
        (f"{POD}.containers.0.args", ["run", "--once"], "leaving", "fail"),
        ("ConfigMap.data", {"config.yaml": "handlers: {default: {command: [cat], timeot: 3}}"}, "config", "fail"),
        (
            "ConfigMap.data",
            {"config.yaml": "worker: {concurrency: 2}\nhandlers: {default: {command: [cat]}}"},
            "trigger.values",
            "warn",
        ),
        ("ScaledObject.kind", "Scaled", "manifest", "fail"),
        ("ConfigMap.data", ["config.yaml"], "manifest", "fail"),
        ("ScaledObject.spec.maxReplicaCount", "many", "trigger.values", "unknown"),
        ("Secret.stringData", {"KEDA_RABBITMQ_URL": "http://u:p@h:15672/prod"}, "trigger.vhost", "ok"),
        ("Secret.stringData", {"KEDA_RABBITMQ_URL": "http://u:p@h:15672/"}, "trigger.vhost", "fail"),
        ("Secret.stringData", {"KEDA_RABBITMQ_URL": "http://u:p@h:15672/prod/"}, "trigger.vhost", "fail"),
        (f"{RABBIT}.host", "http://u:p@h:15672/", "trigger.vhost", "fail"),
    ],
)
async def test_what_is_wrong_is_found(tmp_path: Path, where: str, value: Any, name: str, state: str) -> None:
    found = objects()
    change(found, where, value)
    file = tmp_path / "manifest.yaml"
    file.write_text(yaml.safe_dump_all(found.values()))
    findings = await look(tmp_path, CONFIG, "kubernetes", manifest=file)
    assert findings[f"kubernetes.{name}"].state == state, findings
    assert "u:p@" not in str(findings)


@pytest.mark.parametrize("text", ["", "a: [", "- 1\n---\nnull\n", "kind: ScaledObject\nspec: 7\n", "\x00"])
async def test_a_file_that_is_no_manifest(tmp_path: Path, text: str) -> None:
    file = tmp_path / "manifest.yaml"
    file.write_text(text)
    findings = await look(tmp_path, CONFIG, "kubernetes", manifest=file)
    assert "fail" in states(findings).values()
    findings = await look(tmp_path, CONFIG, "kubernetes", manifest=tmp_path / "none.yaml")
    assert states(findings) == {"kubernetes.manifest": "fail"}


@pytest.mark.parametrize(
    ("url", "name", "vhost"),
    [
        ("http://h:15672", None, "/"),
        ("http://h:15672/", None, "/"),
        ("http://h:15672/%2F", None, "/"),
        ("http://h:15672/prod", None, "prod"),
        ("http://h:15672/prod/", None, "/"),
        ("http://h:15672/under/prod", None, "prod"),
        ("http://h:15672/%2Fprod", None, "prod"),  # not /prod
        ("http://h:15672/other", "/prod", "/prod"),
    ],
)
def test_the_virtual_host_that_keda_reads(url: str, name: str | None, vhost: str) -> None:
    assert keda_vhost(url, name) == vhost
