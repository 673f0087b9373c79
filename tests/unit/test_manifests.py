"""`gridsidecar manifests`: what it prints fits the configuration, and what is no use is refused."""

from __future__ import annotations

import configparser
import copy
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gridsidecar.manifests import KINDS, Application, read_source
from gridsidecar.manifests.filling import scalar
from gridsidecar.manifests.suitability import KUBERNETES, doubts, faults
from gridsidecar.shutdown import longest_exit
from tests.doctor.looking import look, states
from tests.support.cli import Finished, gridsidecar
from tests.support.kubernetes import OLDEST, VERSIONS, validate
from tests.support.manifests import DEPLOY, PRINTED, Deployed, printed

PODS = ["deployment", "job", "cronjob"]
QUEUE = 'Big jobs: 10% #1 {{name}} ${"$$"}'  # all of it means something in YAML, in our templates or to systemd
CONFIG: dict[str, Any] = {
    "broker": {"url": "${AMQP_URL}", "queue": "resize"},
    "store": {"url": "${MYSQL_URL}", "table_prefix": "own_"},
    "worker": {"concurrency": 7, "heartbeat_file": "/tmp/alive", "shutdown_grace": 400, "lease": 30},
    "handlers": {
        "default": {"command": ["node", "handler.js"], "kill_grace": 20, "pass_env": ["MODEL_KEY", "PATH"]},
        "fast": {"command": ["./fast", "--token", "${FAST_TOKEN}"], "timeout": 5},
    },
    "hooks": {"on_shutdown": ["true"], "timeout": 25},
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration, with changes at dotted keys; None there takes a key away."""

    def write(changes: dict[str, Any] | None = None, text: str = "") -> Path:
        config = copy.deepcopy(CONFIG)
        for key, value in (changes or {}).items():
            *path, last = key.split(".")
            section = config
            for part in path:
                section = section.setdefault(part, {})
            if value is None:
                del section[last]
            else:
                section[last] = value
        file = tmp_path / "config.yaml"
        file.write_text(text or yaml.safe_dump(config, sort_keys=False))
        return file

    return write


def application(file: Path, kind: str, environ: dict[str, str] | None = None, **wishes: Any) -> Application:
    source = read_source(str(file), environ or {}, shown=kind in KUBERNETES)
    given = {
        "name": "resizer",
        "secret": "logins",
        "image": "example.org/resizer:1",
        "made_by": "gridsidecar manifests",
    }
    return Application(source=source, **(given | ({"schedule": "*/5 * * * *"} if kind == "cronjob" else {}) | wishes))


def objects(app: Application, kind: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(KINDS[kind](app)))


def pod(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The spec of the one template of pods."""

    def specs(value: Any) -> Iterator[dict[str, Any]]:
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from specs(item)
        if isinstance(value, dict) and "containers" in value:
            yield value

    (one,) = specs(found)
    return one


# -- our own files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRINTED)
def test_the_files_in_deploy_are_what_it_prints(name: str) -> None:
    assert (DEPLOY / name).read_text() == printed(name), "python -m tests.support.manifests makes them anew"


# -- what it prints fits ----------------------------------------------------------------------------------------------

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


# -- variables and secrets --------------------------------------------------------------------------------------------


def test_secrets_are_referred_to_and_other_variables_have_their_values(write: Callable[..., Path]) -> None:
    changes = {"worker.concurrency": "${WIDTH}", "broker.queue": "${QUEUE:-resize}", "http.base_path": "${BASE:-}"}
    with_default = {"handlers.fast.env": {"MODE": "${MODE:-quick}"}, "store.url": "${MYSQL_URL:-mysql://localhost/x}"}
    file = write(changes | with_default)
    environ = {"WIDTH": "12", "QUEUE": "$(X) of mine", "AMQP_URL": "amqp://me:Geheim@here/", "FAST_TOKEN": "Geheim"}
    text = KINDS["deployment"](application(file, "deployment", environ))
    found = list(yaml.safe_load_all(text))
    env = {each["name"]: each.get("value", each.get("valueFrom")) for each in pod(found)["containers"][0]["env"]}
    for name in ("AMQP_URL", "MYSQL_URL", "FAST_TOKEN"):
        assert env.pop(name) == {"secretKeyRef": {"name": "logins", "key": name}}
    for name in ("MODEL_KEY", "MODE"):  # the pods start without them
        assert env.pop(name) == {"secretKeyRef": {"name": "logins", "key": name, "optional": True}}
    assert env == {"WIDTH": "12", "QUEUE": "$$(X) of mine"}  # Kubernetes makes $(X) of it
    assert found[-1]["spec"]["triggers"][0]["metadata"]["value"] == "12"
    assert "Geheim" not in text


def test_the_secret_has_a_line_for_each_variable(write: Callable[..., Path]) -> None:
    (found,) = objects(application(write(), "secret"), "secret")
    assert found["metadata"]["name"] == "logins"
    assert list(found["stringData"]) == [
        "AMQP_URL",
        "MYSQL_URL",
        "FAST_TOKEN",
        "MODEL_KEY",
        "KEDA_RABBITMQ_URL",
        "KEDA_MYSQL_CONNECTION",
    ]


def test_a_password_in_a_comment_is_hidden(write: Callable[..., Path]) -> None:
    file = write()
    file.write_text(f"# once: amqp://me:Geheim@rabbit/\n{file.read_text()}")
    assert "amqp://me:***@rabbit/" in (text := KINDS["job"](application(file, "job")))
    assert "Geheim" not in text


LITERAL: dict[str, Any] = {
    "broker.url": "amqp://me:Geheim@rabbit/",
    "store.url": "${MYSQL_URL:-mysql://me:Geheim@db/grid}",
    "callbacks.signing_secret": "Geheim",
    "http.token": "${TOKEN:-Geheim-Geheim-Geheim}",
    "notify": [{"type": "feishu", "url": "https://open.example.org/hook/Geheim"}],
    "handlers.default.env": {"API_TOKEN": "Geheim"},
    "handlers.default.command": ["./run", "--api-key=Geheim"],
    "handlers.fast.command": ["./run", "--password", "Geheim"],
    "hooks.on_startup": ["./hook", "redis://:Geheim@cache/"],
}


@pytest.mark.parametrize("key", LITERAL)
def test_a_secret_in_the_file_is_refused(write: Callable[..., Path], key: str) -> None:
    file = write({key: LITERAL[key]})
    for kind in PODS:
        arguments = ["--schedule", "@hourly"] if kind == "cronjob" else []
        done = gridsidecar(file.parent, "manifests", kind, "--image", "x", *arguments)
        assert (done.returncode, done.stdout) == (78, "")
        assert f"config.yaml:{line_of(file, 'Geheim')}: {key}" in done.stderr
        assert "a secret stands here, which a manifest would show: write ${" in done.stderr
        assert "Geheim" not in done.stderr


def line_of(file: Path, text: str) -> int:
    return next(number for number, line in enumerate(file.read_text().splitlines(), 1) if text in line)


def test_harmless_words_are_no_secrets(write: Callable[..., Path]) -> None:
    plain: dict[str, Any] = {
        "handlers.default.command": ["./run", "--token-file", "--tokenizer", "${T}", "--password", "${P}", "amqp://h/"],
        "handlers.default.env": {"MODEL": "small", "API_TOKEN": "${API_TOKEN}"},
        "notify": [{"type": "feishu", "url": "https://open.example.org/hook/${KEY}"}],
        "broker.url": "amqp://${USER_NAME}:${PASSWORD}@rabbit/",
    }
    app = application(write(plain), "deployment")
    assert {"T", "P", "API_TOKEN", "KEY", "USER_NAME", "PASSWORD"} <= set(app.source.secrets)
    validate(objects(app, "deployment"), OLDEST)


# -- one machine ------------------------------------------------------------------------------------------------------


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
    assert service["volumes"] == ["./config.yaml:/etc/gridsidecar/config.yaml:ro"]
    assert float(service["stop_grace_period"].removesuffix("s")) > longest_exit(app.settings)


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


def test_systemd_takes_the_unit(write: Callable[..., Path], tmp_path: Path) -> None:
    program = tmp_path / "bin dir" / "gridsidecar"
    program.parent.mkdir()
    program.symlink_to("/bin/true")
    file = write({"broker.queue": QUEUE.replace("$", "$$")})
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


# -- what is refused --------------------------------------------------------------------------------------------------

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("deployment", {"broker.url": "sqlite:///q.db"}, "broker.url"),
    ("job", {"store.url": "sqlite:///q.db"}, "store.url"),
    ("compose", {"store.url": "sqlite:///q.db"}, "store.url"),
    ("compose", {"broker.url": "amqp://rabbit/"}, "broker.url"),
    ("secret", {"store.url": "sqlite:///q.db"}, "store.url"),
    ("deployment", {"worker.heartbeat_file": None}, "worker.heartbeat_file"),
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
    file = write({"broker.url": "sqlite:///q.db", "worker.heartbeat_file": None, "worker.idle_timeout": 9})
    done = gridsidecar(file.parent, "manifests", "deployment", "--image", "x")
    assert (done.returncode, done.stdout) == (78, "")
    assert [line.split(": ")[1].split(" ")[0] for line in done.stderr.splitlines()] == [
        "broker.url",
        "worker.heartbeat_file",
        "worker.idle_timeout",
    ]


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
        (["deployment", "--image", "x", "--config", "none.yaml"], 78, "none.yaml: file: cannot read the file"),
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
