"""The files in `deploy/`: what Kubernetes, KEDA and compose take, and numbers that fit each other."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from gridsidecar.config.load import load
from gridsidecar.runtime.shutdown import longest_exit
from gridsidecar.store.queries import TableNames
from tests.support.keda import SCHEMAS
from tests.support.kubernetes import VERSIONS, core_objects
from tests.support.manifests import (
    COMPOSE,
    DEPLOY,
    ROOT,
    Deployed,
    Manifest,
    compose,
    interpolated,
    manifests,
    secret_example,
    yaml_blocks,
)

FILES = ["deployment.yaml", "scaledjob.yaml"]
GUIDE = ROOT / "docs" / "kubernetes.md"
USER = 10001  # the image's


@pytest.fixture(params=FILES)
def deployed(request: pytest.FixtureRequest) -> Deployed:
    return Deployed(request.param)


def documents() -> list[Manifest]:
    """Every Kubernetes object that we publish, those in the guide too."""
    found = [each for file in [*FILES, "secret.example.yaml"] for each in manifests(DEPLOY / file)]
    for block in yaml_blocks(GUIDE):
        found += [each for each in yaml.safe_load_all(block) if isinstance(each, dict) and "apiVersion" in each]
    return found


# -- what Kubernetes and KEDA take ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object(version: str) -> None:
    objects = core_objects(documents())
    assert {"ConfigMap", "Deployment", "Job", "Secret", "HorizontalPodAutoscaler"} <= {each["kind"] for each in objects}
    for each in objects:
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_refuses_a_misspelt_key(version: str) -> None:
    deployment = copy.deepcopy(Deployed("deployment.yaml").one("Deployment"))
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, version, strict=True)


def test_keda_takes_every_object() -> None:
    objects = [each for each in documents() if each["apiVersion"].startswith("keda.sh/")]
    assert {each["kind"] for each in objects} == set(SCHEMAS)
    for each in objects:
        jsonschema.validate(each, SCHEMAS[each["kind"]])


def test_every_document_of_the_guide_is_read() -> None:
    for block in yaml_blocks(GUIDE):
        assert list(yaml.safe_load_all(block))


def test_names_that_refer_to_each_other(deployed: Deployed) -> None:
    pod = deployed.template["spec"]
    (config_volume,) = [each for each in pod["volumes"] if "configMap" in each]
    assert config_volume["configMap"]["name"] == deployed.one("ConfigMap")["metadata"]["name"]
    assert {each["name"] for each in deployed.container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    known = {each["metadata"]["name"] for each in deployed.objects if each["kind"] == "TriggerAuthentication"}
    used = {each["authenticationRef"]["name"] for each in deployed.scaler["spec"]["triggers"]}
    assert used == known
    if deployed.scaler["kind"] == "ScaledObject":
        deployment = deployed.one("Deployment")
        assert deployed.scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= deployed.template["metadata"]["labels"].items()


def test_the_config_is_where_the_image_looks_for_it(deployed: Deployed) -> None:
    (mounted,) = [each["mountPath"] for each in deployed.container["volumeMounts"] if each["name"] == "config"]
    assert f'"{mounted}/config.yaml"]' in (ROOT / "Dockerfile").read_text()
    assert "--config" not in deployed.container.get("args", []) or deployed.container["args"][-1] == (
        f"{mounted}/config.yaml"
    )


def test_both_files_can_be_applied_to_one_namespace() -> None:
    names = [(each["kind"], each["metadata"]["name"]) for file in FILES for each in manifests(DEPLOY / file)]
    assert len(names) == len(set(names))


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_the_example_of_the_secret_holds_no_secret() -> None:
    for value in secret_example()["stringData"].values():
        assert "USER:PASSWORD@" in value


def test_no_secret_stands_in_a_manifest() -> None:
    for file in FILES:
        text = (DEPLOY / file).read_text()
        assert not re.search(r"://[^\s$]*@|password|:[^\s]+@tcp", text, re.IGNORECASE), file


def test_every_secret_comes_from_the_one_that_the_example_describes(deployed: Deployed) -> None:
    secret = secret_example()
    references = [each["valueFrom"]["secretKeyRef"] for each in deployed.container["env"]]
    for each in deployed.objects:
        if each["kind"] == "TriggerAuthentication":
            references += each["spec"]["secretTargetRef"]
    assert {each["name"] for each in references} == {secret["metadata"]["name"]}
    assert {each["key"] for each in references} == set(secret["stringData"])


# -- the pods ---------------------------------------------------------------------------------------------------------


def test_a_pod_has_no_rights_that_it_does_not_need(deployed: Deployed) -> None:
    pod, own = deployed.template["spec"], deployed.container["securityContext"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert f"USER {USER}:{USER}" in (ROOT / "Dockerfile").read_text()
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    writable = [each["name"] for each in pod["volumes"] if "emptyDir" in each]
    assert [each["mountPath"] for each in deployed.container["volumeMounts"] if each["name"] in writable] == ["/tmp"]


def test_the_config_passes_our_own_check(deployed: Deployed, tmp_path: Path) -> None:
    settings = deployed.settings(tmp_path)
    assert settings.broker.url.startswith("amqp://")
    assert settings.store.url.startswith("mysql://")


def test_a_pod_is_given_the_time_that_leaving_takes(deployed: Deployed, tmp_path: Path) -> None:
    grace = deployed.template["spec"]["terminationGracePeriodSeconds"]
    assert grace > longest_exit(deployed.settings(tmp_path))


def test_a_deployment_never_leaves_by_itself(tmp_path: Path) -> None:
    deployed = Deployed("deployment.yaml")
    worker = deployed.settings(tmp_path).worker
    assert (worker.idle_timeout, worker.burst) == (0, False)
    assert deployed.container["args"] == ["run", "--config", "/etc/gridsidecar/config.yaml"]
    assert "replicas" not in deployed.one("Deployment")["spec"]


def test_a_deployment_lets_every_task_finish(tmp_path: Path) -> None:
    settings = Deployed("deployment.yaml").settings(tmp_path)
    for handler in settings.handlers.values():
        assert 0 < handler.timeout + handler.kill_grace < settings.worker.shutdown_grace


def test_a_job_leaves_after_a_task_or_without_one(tmp_path: Path) -> None:
    deployed = Deployed("scaledjob.yaml")
    worker = deployed.settings(tmp_path).worker
    assert "--once" in deployed.container["args"]
    assert worker.idle_timeout >= 2 * worker.lease
    assert worker.concurrency == 1


def test_a_job_is_run_once_and_never_deleted_by_an_update() -> None:
    spec = Deployed("scaledjob.yaml").scaler["spec"]
    assert (spec["jobTargetRef"]["backoffLimit"], spec["rollout"]) == (0, {"strategy": "gradual"})
    assert spec["jobTargetRef"]["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["scalingStrategy"] == {"strategy": "default", "multipleScalersCalculation": "sum"}


def probes(deployed: Deployed) -> dict[str, Manifest]:
    return {name: deployed.container[name] for name in deployed.container if name.endswith("Probe")}


def test_a_probe_reads_what_the_sidecar_writes(deployed: Deployed, tmp_path: Path) -> None:
    file = deployed.settings(tmp_path).worker.heartbeat_file
    assert file is not None
    (writable,) = [each["name"] for each in deployed.template["spec"]["volumes"] if "emptyDir" in each]
    assert {"name": writable, "mountPath": str(Path(file).parent)} in deployed.container["volumeMounts"]
    assert "livenessProbe" in probes(deployed)
    for name, probe in probes(deployed).items():
        ready = ["--ready"] if name == "readinessProbe" else []
        assert probe["exec"]["command"] == ["gridsidecar", "health", *ready, file]


def test_a_busy_node_does_not_look_like_a_dead_process(deployed: Deployed) -> None:
    for name, probe in probes(deployed).items():
        assert probe["timeoutSeconds"] == 5
        assert probe["failureThreshold"] == (60 if name == "startupProbe" else 6)


# -- the triggers -----------------------------------------------------------------------------------------------------


def test_the_triggers_look_at_what_the_pods_use(deployed: Deployed, tmp_path: Path) -> None:
    settings = deployed.settings(tmp_path)
    view = TableNames(settings.store.table_prefix + settings.store.table_name).tasks + "_owed_work"
    assert deployed.trigger("rabbitmq")["queueName"] == settings.broker.queue
    assert deployed.trigger("mysql")["query"] == f"SELECT COUNT(*) FROM {view} WHERE queue = '{settings.broker.queue}'"


def test_busy_pods_count_as_work(deployed: Deployed, tmp_path: Path) -> None:
    rabbitmq, mysql = deployed.trigger("rabbitmq"), deployed.trigger("mysql")
    assert (rabbitmq["protocol"], rabbitmq["mode"], rabbitmq["excludeUnacknowledged"]) == (
        "http",
        "QueueLength",
        "false",
    )
    concurrency = deployed.settings(tmp_path).worker.concurrency
    for value in (rabbitmq["value"], mysql["queryValue"]):
        assert 1 <= float(value) <= concurrency  # more, and the pods that are wanted cannot hold what runs


# -- compose ----------------------------------------------------------------------------------------------------------


def services() -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"]
    return found


def test_compose_waits_for_servers_that_answer() -> None:
    for each in services().values():
        for name, wait in each.get("depends_on", {}).items():
            assert wait["condition"] == "service_healthy"
            assert "test" in services()[name]["healthcheck"]
    assert set(services()["sidecar"]["depends_on"]) == {"rabbitmq", "mysql"}


def test_compose_keeps_its_data_in_volumes() -> None:
    mounted = {each.split(":")[0] for name in ("rabbitmq", "mysql") for each in services()[name]["volumes"]}
    assert mounted == set(compose()["volumes"])


def test_compose_opens_nothing_to_other_machines() -> None:
    ports = [port for each in services().values() for port in each.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_has_one_password_and_names_it() -> None:
    given = [value for each in services().values() for value in each["environment"].values()]
    assert {name for value in given for name in re.findall(r"\$\{(\w+)", value)} == {"GRID_PASSWORD"}
    assert not [value for value in given if re.search(r"://[^$]*@", value)]


def test_compose_mounts_files_that_are_here() -> None:
    for name in ("sidecar", "producer"):
        (source, target, mode) = services()[name]["volumes"][-1].split(":")
        assert ((DEPLOY / source).resolve(), target, mode) == (COMPOSE, "/app", "ro")
        assert (DEPLOY / services()[name]["build"]["context"] / "Dockerfile").resolve() == ROOT / "Dockerfile"
    assert (COMPOSE / services()["producer"]["entrypoint"][1]).is_file()


def test_compose_asks_the_sidecar_whether_it_takes_tasks() -> None:
    file = yaml.safe_load((COMPOSE / "config.yaml").read_text())["worker"]["heartbeat_file"]
    assert services()["sidecar"]["healthcheck"]["test"] == ["CMD", "gridsidecar", "health", "--ready", file]


def test_compose_config_passes_our_own_check() -> None:
    environ = {name: interpolated(value, {}) for name, value in services()["sidecar"]["environment"].items()}
    settings = load(str(COMPOSE / "config.yaml"), environ=environ, dotenv=None)
    assert settings.broker.url.endswith("@rabbitmq:5672/")
    assert float(services()["sidecar"]["stop_grace_period"].removesuffix("s")) > longest_exit(settings)
