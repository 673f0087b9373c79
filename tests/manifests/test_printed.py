"""What `gridsidecar manifests` prints is taken by its readers, and fits the configuration."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.config.load import load
from gridsidecar.manifests import KINDS
from gridsidecar.manifests.suitability import faults
from gridsidecar.runtime.shutdown import longest_exit
from tests.doctor.looking import look, states
from tests.manifests.printing import CONFIG, PODS, application, objects, pod
from tests.support.kubernetes import OLDEST, VERSIONS, validate
from tests.support.manifests import DEPLOY, PRINTED, printed


@pytest.mark.parametrize("name", PRINTED)
def test_the_files_in_deploy_are_what_it_prints(name: str) -> None:
    assert (DEPLOY / name).read_text() == printed(name), "python -m tests.support.manifests makes them anew"


ALL_WISHES: dict[str, Any] = {
    "namespace": "jobs",
    "pull_secrets": ("one", "two"),
    "network_policy": True,
    "inject": "example.org/gridsidecar@sha256:" + 64 * "a",
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wishes", [{}, ALL_WISHES], ids=["plain", "all"])
@pytest.mark.parametrize("kind", [*PODS, "secret"])
def test_kubernetes_and_keda_take_it(
    write: Callable[..., Path], kind: str, wishes: dict[str, Any], version: str
) -> None:
    extra = {"pdb": True} if kind == "deployment" else {}
    app = application(write({"http.listen": ":8080", "http.token": "${TOKEN}"}), kind, **wishes, **extra)
    found = objects(app, kind)
    validate(found, version)
    assert {each["metadata"].get("namespace") for each in found} == {wishes.get("namespace")}


@pytest.mark.parametrize("kind", PODS)
async def test_doctor_is_content(write: Callable[..., Path], tmp_path: Path, kind: str) -> None:
    manifest = tmp_path / f"{kind}.yaml"
    manifest.write_text(KINDS[kind](application(write(), kind, **ALL_WISHES)))
    servers = {"broker": {"url": "amqp://u:p@127.0.0.1:1/"}, "store": {"url": "mysql://u:p@127.0.0.1:1/grid"}}
    found = await look(tmp_path, servers, "kubernetes", manifest=manifest)
    told = {name for name, state in states(found).items() if state != "ok"}
    assert told <= {"kubernetes.trigger.vhost", "kubernetes.connections"}, found
    assert "kubernetes.leaving" in found


@pytest.mark.parametrize(("kind", "check"), [("compose", "compose.stop_grace"), ("systemd", "systemd.stop_grace")])
async def test_doctor_reads_what_is_for_one_machine(
    write: Callable[..., Path], tmp_path: Path, kind: str, check: str
) -> None:
    config = {**CONFIG, "broker": {"url": "sqlite:///x.db"}, "store": {"url": "sqlite:///x.db"}}
    config["handlers"] = {"default": {"command": ["cat"], "kill_grace": 20}}
    manifest = tmp_path / kind
    text = KINDS[kind](application(write(), kind))
    for old, new, state in (("", "", "ok"), ("485", "475", "ok"), ("485", "474", "fail"), ("485", "soon", "fail")):
        manifest.write_text(text.replace(old, new) if old else text)
        found = await look(tmp_path, config, kind, manifest=manifest)
        assert states(found) == {check: state}, (old, new)


@pytest.mark.parametrize("kind", PODS)
def test_the_numbers_are_those_of_the_configuration(write: Callable[..., Path], kind: str) -> None:
    app = application(write({"broker.queue": "a: b #c"}), kind)
    found = objects(app, kind)
    spec = pod(found)
    assert spec["terminationGracePeriodSeconds"] == longest_exit(app.settings) + 10 == 400 + 20 + 40 + 25
    (container,) = spec["containers"]
    assert container["livenessProbe"]["exec"]["command"] == ["gridsidecar", "health", "/tmp/alive"]
    triggers = [trigger["metadata"] for one in found for trigger in one.get("spec", {}).get("triggers", ())]
    expected = {"deployment": "7", "job": "1"}.get(kind)
    assert [each.get("value") or each["queryValue"] for each in triggers] == ([expected] * 2 if expected else [])
    if triggers:
        assert triggers[0]["queueName"] == "a: b #c"
        assert triggers[1]["query"] == "SELECT COUNT(*) FROM own_tasks_owed_work WHERE queue = 'a: b #c'"


@pytest.mark.parametrize(
    ("kind", "flags"), [("deployment", []), ("job", ["--once"]), ("cronjob", ["--burst"])], ids=lambda each: str(each)
)
def test_the_pods_read_the_file_as_it_is(write: Callable[..., Path], kind: str, flags: list[str]) -> None:
    file = write()
    file.write_text(f"# head: {{{{name}}}} $$x\n\n{file.read_text()}\n# tail\n")
    found = objects(application(file, kind, inject="gridsidecar:1"), kind)
    assert found[0]["data"]["config.yaml"].strip() == file.read_text().strip()
    (container,) = pod(found)["containers"]
    assert container["args"] == ["run", *flags, "--config", "/etc/gridsidecar/config.yaml"]


def test_a_job_stays_for_two_leases(write: Callable[..., Path]) -> None:
    env = pod(objects(application(write(), "job"), "job"))["containers"][0]["env"]
    assert {"name": "GRID_ASYNC_TASK_IDLE_TIMEOUT", "value": "60"} in env
    env = pod(objects(application(write({"worker.idle_timeout": 90}), "job"), "job"))["containers"][0]["env"]
    assert "GRID_ASYNC_TASK_IDLE_TIMEOUT" not in {each["name"] for each in env}


@pytest.mark.parametrize("kind", PODS)
def test_the_file_of_the_probes_is_set_where_the_configuration_has_none(write: Callable[..., Path], kind: str) -> None:
    """As the pod reads it: file and variables."""
    (container,) = pod(objects(application(file := write({"worker.heartbeat_file": None}), kind), kind))["containers"]
    env = {each["name"]: each.get("value", "amqp://known-to-the-cluster/") for each in container["env"]}
    servers = {"broker.url": "amqp://rabbit/", "store.url": "mysql://db/grid"}
    probed = load(str(file), overrides=dict(servers), environ=env, dotenv=None).worker.heartbeat_file
    assert probed == "/tmp/gridsidecar.health"
    assert container["livenessProbe"]["exec"]["command"][-1] == probed
    (container,) = pod(objects(application(write(), kind), kind))["containers"]
    assert "GRID_ASYNC_TASK_HEARTBEAT_FILE" not in {each["name"] for each in container["env"]}


def test_pods_without_keda(write: Callable[..., Path]) -> None:
    found = objects(application(write(), "deployment", replicas=3), "deployment")
    assert [each["kind"] for each in found] == ["ConfigMap", "Deployment"]
    assert found[1]["spec"]["replicas"] == 3


def test_what_is_brought_along_is_where_it_is_started(write: Callable[..., Path]) -> None:
    spec = pod(objects(application(write(), "deployment", inject="gridsidecar:1"), "deployment"))
    (bundle,), (container,) = spec["initContainers"], spec["containers"]
    assert (bundle["image"], container["image"]) == ("gridsidecar:1", "example.org/resizer:1")
    (copied,) = bundle["volumeMounts"]
    assert bundle["command"] == ["/opt/gridsidecar/bin/gridsidecar-copy", copied["mountPath"]]
    (mounted,) = [each for each in container["volumeMounts"] if each["name"] == copied["name"]]
    assert container["command"] == [f"{mounted['mountPath']}/bin/gridsidecar"]
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[name]["exec"]["command"][0] == container["command"][0]
    assert "workingDir" not in container  # that of the image
    for each in (bundle, container):
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert each["resources"]["limits"]


SERVED: dict[str, Any] = {
    "handlers.default": {"mode": "http", "url": "http://127.0.0.1:8000/tasks"},
    "handlers.fast": {"mode": "http", "url": "unix:///run/app/app.sock:/fast"},
}


@pytest.mark.parametrize("kind", PODS)
def test_a_container_of_its_own_ends_before_the_app(write: Callable[..., Path], kind: str) -> None:
    """What starts first, and goes on for as long, ends last: the app. Of a Job it must not keep the pod."""
    found = objects(application(write(SERVED), kind, container="gridsidecar:1"), kind)
    validate(found, VERSIONS[-1])  # the first that knows it is 1.29
    (app,), (sidecar,) = pod(found)["initContainers"], pod(found)["containers"]
    assert (app["image"], app["restartPolicy"]) == ("example.org/resizer:1", "Always")
    assert {"command", "args", "env"}.isdisjoint(app)  # the image's own
    assert sidecar["image"] == "gridsidecar:1"
    assert sidecar["livenessProbe"]["exec"]["command"][:2] == [*sidecar["command"], "health"]
    shared = [{each["mountPath"] for each in one["volumeMounts"]} for one in (app, sidecar)]
    assert shared[0] & shared[1] == {"/run/app", "/tmp"}
    names = {each["name"] for one in (app, sidecar) for each in one["volumeMounts"]}
    assert names == {each["name"] for each in pod(found)["volumes"]}
    temporary = [each["name"] for one in (app, sidecar) for each in one["volumeMounts"] if each["mountPath"] == "/tmp"]
    assert len(set(temporary)) == 2  # nobody touches the other's files


@pytest.mark.parametrize(
    ("changes", "wishes", "key"),
    [
        ({}, {}, "handlers.default.url"),
        ({"handlers.default": {"command": ["cat"]}}, {"container": "x"}, "handlers.default.command"),
        ({"handlers.default.url": "http://10.0.0.1/"}, {"container": "x"}, "handlers.default.url"),
        ({"handlers.default.url": "unix:///tmp/own.sock"}, {"container": "x"}, "handlers.default.url"),
        ({"handlers.default.url": "unix:///own.sock"}, {"container": "x"}, "handlers.default.url"),
    ],
)
def test_servers_that_nobody_would_reach(
    write: Callable[..., Path], changes: dict[str, Any], wishes: dict[str, Any], key: str
) -> None:
    file = write({**copy.deepcopy(SERVED), "handlers.fast": SERVED["handlers.default"], **changes})
    found = faults("deployment", application(file, "deployment", **wishes))
    assert found[0].key == key
    elsewhere = {"mode": "http", "url": "http://app.jobs.svc/"}
    assert not faults("compose", application(write({"handlers": {"default": elsewhere}}), "compose"))


def test_http_is_let_in_where_it_is_served(write: Callable[..., Path]) -> None:
    listening = {"http.listen": "0.0.0.0:8081", "http.token": "${TOKEN}"}
    for changes, ports in ((listening, [8081]), ({"http.listen": "127.0.0.1:8081"}, [])):
        found = objects(application(write(changes), "job", network_policy=True), "job")
        (policy,) = [each for each in found if each["kind"] == "NetworkPolicy"]
        assert [port["port"] for rule in policy["spec"].get("ingress", ()) for port in rule["ports"]] == ports
        assert [each["containerPort"] for each in pod(found)["containers"][0].get("ports", ())] == ports


def test_the_network_is_open_to_the_servers(write: Callable[..., Path]) -> None:
    literal = {"broker.url": "amqps://rabbit:5679/", "broker.management_url": "https://rabbit/"}
    mail = {"type": "email", "from": "a@example.org", "to": ["b@example.org"]}
    mails = [mail | {"smtp_url": url} for url in ("${SMTP_URL}", "smtp://${USER_NAME}:${PASSWORD}@mail:2525")]
    served = {"handlers.fast": {"mode": "http", "url": "http://app.jobs.svc:8000/"}}
    all_ports = [5679, 15671, 15672, 3306, 25, 587, 2525, 8000]
    for changes, ports in (({}, [5671, 5672, 3306]), ({**literal, **served, "notify": mails}, all_ports)):
        found = objects(application(write(changes), "job", network_policy=True), "job")
        (policy,) = [each for each in found if each["kind"] == "NetworkPolicy"]
        assert [port["port"] for port in policy["spec"]["egress"][1]["ports"]] == ports


def test_another_configuration_replaces_the_pods(write: Callable[..., Path]) -> None:
    def annotations(changes: dict[str, Any]) -> dict[str, str]:
        found: dict[str, str] = objects(application(write(changes), "deployment"), "deployment")[1]["spec"]["template"][
            "metadata"
        ]["annotations"]
        return found

    assert annotations({}) == annotations({})
    assert annotations({}) != annotations({"retry.max_retries": 3})


@pytest.mark.parametrize("name", ["123", "0x1f", "no", "null", "2024-01-01"])
def test_a_name_is_a_text_whatever_yaml_would_make_of_it(write: Callable[..., Path], name: str) -> None:
    wishes: dict[str, Any] = {"name": name, "namespace": name, "secret": name}
    for kind in PODS:
        app = application(write(), kind, pull_secrets=(name,), pdb=True, network_policy=True, **wishes)
        validate(objects(app, kind), OLDEST)
    (secret,) = objects(application(write(), "secret", **wishes), "secret")
    assert (secret["metadata"]["name"], secret["metadata"]["namespace"]) == (name, name)


def test_a_queue_is_counted_by_its_name_whatever_that_is(write: Callable[..., Path]) -> None:
    queue = "two\nlines\x7f"
    *_, scaler = objects(application(write({"broker.queue": queue}), "deployment"), "deployment")
    by_queue, by_query = (trigger["metadata"] for trigger in scaler["spec"]["triggers"])
    assert by_queue["queueName"] == queue
    assert by_query["query"].endswith(f"WHERE queue = '{queue}'")
