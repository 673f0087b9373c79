"""A pod: the sidecar's container, what it is told, and how it is looked after."""

from __future__ import annotations

from collections.abc import Mapping

from gridsidecar.language import translated
from gridsidecar.manifests.application import BUNDLED, Application
from gridsidecar.manifests.rendering import filled, scalar, words

CONFIG = "/etc/gridsidecar/config.yaml"  # where the image looks for it
KEDA_RABBITMQ, KEDA_MYSQL = "KEDA_RABBITMQ_URL", "KEDA_MYSQL_CONNECTION"  # keys of the Secret
IDLE_TIMEOUT = "GRID_ASYNC_TASK_IDLE_TIMEOUT"
_TMP_SIZE = {"deployment": "1Gi", "job": "10Gi", "cronjob": "10Gi"}


def metadata(app: Application) -> str:
    return filled("metadata.yaml", {"label": scalar(app.name), "namespace": namespace(app)})


def namespace(app: Application) -> str:
    return f"namespace: {scalar(app.namespace)}\n" if app.namespace else ""


def pod(app: Application, kind: str, *flags: str) -> str:
    """The spec of a pod's template, without `restartPolicy`."""
    values = {
        "label": scalar(app.name),
        "grace": str(app.grace),
        "image": scalar(app.image),
        "image_note": translated("FROM gridsidecar, with your handler in it"),
        "pull_secrets": _pull_secrets(app),
        "before": "",
        "command": _command(app, *flags),
        "ports": _ports(app),
        "env": _env(app, kind),
        "alive": words(app.program, "health", app.heartbeat),
        "ready": words(app.program, "health", "--ready", app.heartbeat),
        "no_rights": filled("no_rights.yaml", {}),
        "resources": filled(f"resources.{kind}.yaml", {}),
        "mounts": "",
        "volumes": "",
        "tmp_size": _TMP_SIZE[kind],
    }
    values["probes"] = filled("probes.deployment.yaml" if kind == "deployment" else "probes.job.yaml", values)
    if app.inject:
        values |= _injected(app.inject, values)
    if app.container:
        values |= _apart(app, app.container, values)
    return filled("pod.yaml", values)


def _injected(image: str, values: Mapping[str, str]) -> dict[str, str]:
    """An init container brings the sidecar into the app's container."""
    return {
        "image_note": translated("yours as it is"),
        "before": filled("inject.yaml", {**values, "inject": scalar(image)}),
        "mounts": "- name: gridsidecar\n  mountPath: /opt/gridsidecar\n  readOnly: true\n",
        "volumes": "- name: gridsidecar\n  emptyDir:\n    sizeLimit: 256Mi\n",
    }


def _apart(app: Application, image: str, values: Mapping[str, str]) -> dict[str, str]:
    """The app has a container of its own, which is there for longer than ours: ours is asked to end first."""
    sockets = "".join(
        f"- name: socket-{number}\n  mountPath: {scalar(folder)}\n" for number, folder in enumerate(app.sockets, 1)
    )
    volumes = "".join(f"- name: socket-{number}\n  emptyDir: {{}}\n" for number, _ in enumerate(app.sockets, 1))
    return {
        "image": scalar(image),
        "image_note": translated("gridsidecar's own"),
        "before": filled("app.yaml", {**values, "sockets": sockets}),
        "resources": filled("resources.sidecar.yaml", {}),
        "mounts": sockets,
        "volumes": f"- name: app-tmp\n  emptyDir:\n    sizeLimit: {values['tmp_size']}\n{volumes}",
    }


def _command(app: Application, *flags: str) -> str:
    """An image may have a configuration and a CMD of its own: the mounted one counts."""
    program = f"command: {words(BUNDLED)}\n" if app.inject or app.container else ""
    return f"{program}args: {words('run', *flags, '--config', CONFIG)}\n"


def _pull_secrets(app: Application) -> str:
    items = "".join(f"  - name: {scalar(name)}\n" for name in app.pull_secrets)
    return f"imagePullSecrets:\n{items}" if items else ""


def _ports(app: Application) -> str:
    return f"ports:\n  - name: http\n    containerPort: {app.http_port}\n" if app.http_port else ""


def _env(app: Application, kind: str) -> str:
    source, worker = app.source, app.settings.worker
    secrets = [_from_secret(app, name) for name in source.secrets]
    optional = [f"{_from_secret(app, name)}      optional: true\n" for name in source.optional]
    plain = {**source.plain, **app.own_variables}
    if kind == "job" and not worker.idle_timeout:
        plain[IDLE_TIMEOUT] = f"{2 * worker.lease:g}"
    texts = [f"- name: {name}\n  value: {_text(value)}\n" for name, value in plain.items()]
    return "".join([*secrets, *optional, *texts])


def _from_secret(app: Application, name: str) -> str:
    reference = f"    secretKeyRef:\n      name: {scalar(app.secret)}\n      key: {name}\n"
    return f"- name: {name}\n  valueFrom:\n{reference}"


def _text(value: str) -> str:
    """Kubernetes takes `$(NAME)` for another variable."""
    return words(value.replace("$(", "$$("))[1:-1]
