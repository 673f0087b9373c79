"""A Kubernetes manifest: what scales the pods, what they are told, how long they get."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, unquote, urlsplit

import yaml
from msgspec import Struct

from gridsidecar.config.load import load
from gridsidecar.config.settings import Settings
from gridsidecar.errors import GridSidecarError

Object = Mapping[str, Any]
SCALERS = ("ScaledObject", "ScaledJob")
STAND_IN = "https://known-to-the-cluster.invalid"  # most secrets are URLs, or any text
SERVERS = {
    "broker.url": "amqp://known-to-the-cluster.invalid/",
    "store.url": "mysql://known-to-the-cluster.invalid/grid",
}
DEFAULT_GRACE = 30  # seconds, where a pod says nothing


class ManifestError(GridSidecarError):
    """Nothing can be made of the file."""


class Manifest(Struct, frozen=True, kw_only=True):
    """What a file holds: its objects, the one that says how many pods there are, and the pods' template."""

    objects: tuple[Object, ...]
    scaler: Object
    pod: Object  # the template's spec

    @property
    def scaled(self) -> bool:
        """Whether KEDA does it."""
        return self.scaler.get("kind") in SCALERS

    @property
    def is_job(self) -> bool:
        return str(self.scaler.get("kind")) == "ScaledJob"

    @property
    def is_cronjob(self) -> bool:
        return self.scaler.get("kind") == "CronJob"

    @property
    def most_pods(self) -> int:
        if self.is_cronjob:
            return int(at(self.scaler, "spec", "jobTemplate", "spec", "parallelism") or 1)
        return int(at(self.scaler, "spec", "maxReplicaCount") or at(self.scaler, "spec", "replicas") or 100)

    @property
    def grace(self) -> float:
        return float(at(self.pod, "terminationGracePeriodSeconds") or DEFAULT_GRACE)

    @property
    def arguments(self) -> list[str]:
        """Of the first container, command and all."""
        first = self._container
        return [str(word) for word in (*(at(first, "command") or ()), *(at(first, "args") or ()))]

    @property
    def _container(self) -> Object:
        found = at(self.pod, "containers")
        return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}

    def triggers(self, kind: str) -> list[Object]:
        found = at(self.scaler, "spec", "triggers")
        return [each for each in found or () if isinstance(each, dict) and each.get("type") == kind]

    def secret(self, trigger: Object, parameter: str) -> str | None:
        """What a trigger is told in secret, as far as the secret stands in the same file."""
        name = at(trigger, "authenticationRef", "name")
        for each in self._named("TriggerAuthentication", name):
            for target in at(each, "spec", "secretTargetRef") or ():
                if at(target, "parameter") == parameter:
                    return self._value(at(target, "name"), at(target, "key"))
        return None

    def settings(self, ours: Settings, broken: Collection[str] = ()) -> Settings | None:
        """The configuration of the ConfigMap, with the servers of ours, or what stands for those that are `broken`, as
        where their variables are not set on this machine; None: there is none. Raises ConfigError."""
        texts = [
            text
            for each in self.objects
            if each.get("kind") == "ConfigMap"
            for name, text in (at(each, "data") or {}).items()
            if name.endswith((".yaml", ".yml")) and isinstance(text, str)
        ]
        if not texts:
            return None
        servers = SERVERS | {key: url for key, url in _servers(ours).items() if key not in broken}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "config.yaml"
            file.write_text(texts[0])
            return load(str(file), overrides=servers, environ=self._environment(), dotenv=None)

    def _environment(self) -> dict[str, str]:
        """The variables of the pods; what only the cluster knows has a value that stands for it."""
        found = {}
        for each in at(self._container, "env") or ():
            given, reference = at(each, "value"), at(each, "valueFrom", "secretKeyRef")
            value = given if given is not None else self._value(at(reference, "name"), at(reference, "key"))
            name = str(at(each, "name"))
            found[name] = str(value) if value is not None else os.environ.get(name, STAND_IN)
        return found

    def _named(self, kind: str, name: object) -> Iterator[Object]:
        for each in self.objects:
            if each.get("kind") == kind and at(each, "metadata", "name") == name:
                yield each

    def _value(self, name: object, key: object) -> str | None:
        for each in self._named("Secret", name):
            plain, packed = at(each, "stringData", key), at(each, "data", key)
            if plain is not None:
                return str(plain)
            if packed is not None:
                return base64.b64decode(str(packed)).decode("utf-8", "replace").strip()
        return None


def read_manifest(path: str) -> Manifest:
    """Raises ManifestError."""
    try:
        with open(path, encoding="utf-8") as file:
            objects = tuple(each for each in yaml.safe_load_all(file) if isinstance(each, dict))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ManifestError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    scalers = [each for each in objects if each.get("kind") in SCALERS]
    scalers = scalers or [each for each in objects if _by_itself(each)]
    if len(scalers) != 1:
        raise ManifestError(f"{path} has {len(scalers)} of ScaledObject and ScaledJob; one is expected")
    return Manifest(objects=objects, scaler=scalers[0], pod=_pod(scalers[0], objects))


def _by_itself(each: Object) -> bool:
    """Whether it says how many pods there are, without KEDA."""
    return each.get("kind") == "CronJob" or (
        each.get("kind") == "Deployment" and at(each, "spec", "replicas") is not None
    )


def _pod(scaler: Object, objects: tuple[Object, ...]) -> Object:
    """The spec of the pods that it scales; empty where the file does not have it."""
    if scaler.get("kind") not in SCALERS:
        job = at(scaler, "spec", "jobTemplate", "spec") or at(scaler, "spec")
        return at(job, "template", "spec") or {}
    job = at(scaler, "spec", "jobTargetRef")
    target = at(scaler, "spec", "scaleTargetRef", "name")
    deployments = [each for each in objects if at(each, "metadata", "name") == target and at(each, "spec", "template")]
    owner = job if job is not None else at(deployments[0], "spec") if deployments else None
    return at(owner, "template", "spec") or {}


def at(value: Any, *keys: object) -> Any:
    """What stands under these keys; None where it is no such thing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _servers(settings: Settings) -> dict[str, object]:
    return {"broker.url": settings.broker.url, "store.url": settings.store.url}


def keda_vhost(url: str, name: str | None) -> str:
    """The virtual host that KEDA makes of a URL of the management API and of `vhostName`, which wins."""
    if name:
        return unquote(quote_plus(name))
    last = unquote(urlsplit(url).path).rpartition("/")[2]  # what has a slash in it loses all before that
    return last or "/"
