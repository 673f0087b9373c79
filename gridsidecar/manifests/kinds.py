"""The kinds of manifests, each as the text of one file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from gridsidecar.language import translated
from gridsidecar.manifests.application import Application
from gridsidecar.manifests.pod import CONFIG, KEDA_MYSQL, KEDA_RABBITMQ, metadata, namespace, pod
from gridsidecar.manifests.rendering import filled, scalar, words
from gridsidecar.store.inspection import names_of

HOMES = ("/home", "/root", "/run/user")


def deployment(app: Application) -> str:
    scales = app.replicas is None
    values = _values(app, keda=scales) | {
        "pod": pod(app, "deployment"),
        "checksum": scalar(hashlib.sha256(app.source.text.encode()).hexdigest()[:16]),
        "tasks": str(app.settings.worker.concurrency),
        "scaled": translated("that KEDA scales with its work, down to zero" if scales else f"of {app.replicas} pods"),
        "replicas": filled("no_replicas.yaml", {}) if scales else f"replicas: {app.replicas}\n",
    }
    values["triggers"] = filled("triggers.yaml", values)
    values["scaler"] = filled("scaledobject.yaml", values) if scales else ""
    return filled("deployment.yaml", values)


def job(app: Application) -> str:
    values = _values(app, keda=True) | {"tasks": "1"}
    values["pod"] = pod(app, "job", "--once")
    values["job_template"] = filled("job_template.yaml", values)
    values["triggers"] = filled("triggers.yaml", values)
    return filled("scaledjob.yaml", values)


def cronjob(app: Application) -> str:
    values = _values(app, keda=False) | {"schedule": scalar(app.schedule), "pod": pod(app, "cronjob", "--burst")}
    values["job_template"] = filled("job_template.yaml", values)
    return filled("cronjob.yaml", values)


def compose(app: Application) -> str:
    source = app.source
    servers = {
        source.addresses["broker.url"]: "amqp://grid:${GRID_PASSWORD:-only-on-this-machine}@rabbitmq:5672/",
        source.addresses["store.url"]: "mysql://grid:${GRID_PASSWORD:-only-on-this-machine}@mysql:3306/grid",
    }
    given = servers | {
        name: f"${{{name}:?{translated('set it in .env')}}}" for name in source.secrets if name not in servers
    }
    given |= {name: value.replace("$", "$$") for name, value in {**source.plain, **app.own_variables}.items()}
    lines = [f"{name}: {value if name in servers else scalar(value)}\n" for name, value in given.items()]
    lines += [f"{name}:\n" for name in source.optional]  # passed on, if it is set
    file = os.path.relpath(source.path)
    return filled(
        "docker-compose.yaml",
        {
            "made_by": app.made_by,
            "label": scalar(app.name),
            "image": scalar(app.image),
            "command": words("run", "--config", CONFIG),
            "environment": "".join(lines),
            "source": scalar((file if file.startswith(".") else f"./{file}").replace("$", "$$")),
            "target": CONFIG,
            "healthy": words("CMD", "gridsidecar", "health", "--ready", app.heartbeat),
            "grace": str(app.grace),
        },
    )


def systemd(app: Application) -> str:
    config = Path(app.source.path).resolve()
    at_home = any(each.is_relative_to(home) for home in HOMES for each in (config, Path(app.installed)))
    files = {name: app.kept(url) for name, url in app.source.files.items()}
    return filled(
        "gridsidecar.service",
        {
            "made_by": app.made_by,
            "name": app.name,
            "queue": _escaped(app.settings.broker.queue),
            "program": _quoted(app.installed),
            "config_file": _quoted(str(config)),
            "folder": str(config.parent).replace("%", "%%"),
            "files": filled("files.service", {"environment": _environment(files)}) if files else "",
            "environment": _environment(app.source.plain),
            "protect_home": "read-only" if at_home else "yes",
            "grace": str(app.grace),
            "keys": _listed(app.source.secrets) or translated("nothing: the configuration has no variables"),
        },
    )


def secret(app: Application) -> str:
    """With an example for each server's address, and what one may add to it."""
    broker, store = (app.source.addresses.get(key, "") for key in ("broker.url", "store.url"))
    examples = {
        broker: ("amqp://USER:PASSWORD@rabbitmq.default.svc:5672/", translated("amqps:// for TLS; /VHOST at the end")),
        store: ("mysql://USER:PASSWORD@mysql.default.svc:3306/grid", translated("?ssl_mode=required for TLS")),
        KEDA_RABBITMQ: (
            "http://USER:PASSWORD@rabbitmq.default.svc:15672/",
            translated("the management API; /VHOST at the end"),
        ),
        KEDA_MYSQL: ("USER:PASSWORD@tcp(mysql.default.svc:3306)/grid", translated("?tls=true for TLS")),
    }
    entries = ""
    for name in (*app.source.secrets, *app.source.optional, KEDA_RABBITMQ, KEDA_MYSQL):
        value, note = examples.get(name, ("REPLACE-ME", ""))
        entries += f"{name}: {value}".ljust(78) + f"  # {note}\n" if note else f"{name}: {value}\n"
    return filled("secret.yaml", _named(app) | {"entries": entries})


KINDS: dict[str, Callable[[Application], str]] = {
    "deployment": deployment,
    "job": job,
    "cronjob": cronjob,
    "compose": compose,
    "systemd": systemd,
    "secret": secret,
}


def _named(app: Application) -> dict[str, str]:
    return {
        "name": app.name,
        "label": scalar(app.name),
        "secret": scalar(app.secret),
        "namespace": namespace(app),
        "made_by": app.made_by,
    }


def _values(app: Application, *, keda: bool) -> dict[str, str]:
    """What every kind for Kubernetes has in it."""
    queue, view = app.settings.broker.queue, f"{names_of(app.settings.store).tasks}_owed_work"
    keys = (*app.source.secrets, *((KEDA_RABBITMQ, KEDA_MYSQL) if keda else ()))
    text = app.source.text.replace("\r\n", "\n").strip("\n") + "\n"
    values = _named(app) | {
        "keys": _listed(keys),
        "queue": scalar(queue),
        "query": scalar(f"SELECT COUNT(*) FROM {view} WHERE queue = '{queue}'"),  # noqa: S608  # for KEDA
        "max_replicas": str(app.max_replicas),
        "literal": "|2" if text.startswith(" ") else "|",
        "config": text,
        "metadata": metadata(app),
    }
    values["configmap"] = filled("configmap.yaml", values)
    values["authentication"] = filled("authentication.yaml", values)
    values["policies"] = "".join(_policies(app, values))
    return values


def _listed(names: Sequence[str]) -> str:
    return translated(" and ").join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _policies(app: Application, values: dict[str, str]) -> Iterator[str]:
    if app.pdb:
        yield filled("pdb.yaml", values)
    if app.network_policy:
        port = app.http_port
        allowed = f"ingress:\n  - ports:\n      - protocol: TCP\n        port: {port}\n" if port else ""
        server_ports = "".join(f"- protocol: TCP\n  port: {each}\n" for each in app.server_ports)
        yield filled("network_policy.yaml", values | {"ingress": allowed, "server_ports": server_ports})


def _environment(variables: Mapping[str, str]) -> str:
    return "".join(f"Environment={_assigned(f'{name}={value}')}\n" for name, value in variables.items())


def _quoted(word: str) -> str:
    """A word of a command of systemd, which knows specifiers and variables."""
    return _assigned(word).replace("$", "$$")


def _assigned(word: str) -> str:
    """A word of a list of systemd, where a dollar is a dollar."""
    escaped = _escaped(word).replace('"', '\\"')
    return f'"{escaped}"' if set(escaped) & set(" \"'\\;") else escaped


def _escaped(text: str) -> str:
    """On one line of systemd, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace("%", "%%")
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped)
