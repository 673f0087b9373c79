"""The files in `deploy/`, read as the programs that they are for read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gridsidecar.config.load import load
from gridsidecar.config.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose"

Manifest = dict[str, Any]


class Deployed:
    """One manifest file: a configuration, the pods that run with it, and what scales them."""

    def __init__(self, name: str) -> None:
        self.objects = manifests(DEPLOY / name)
        self.scaler = self.one("ScaledObject", "ScaledJob")
        job = self.scaler["spec"].get("jobTargetRef")
        self.template: Manifest = (job or self.one("Deployment")["spec"])["template"]
        (self.container,) = self.template["spec"]["containers"]

    def one(self, *kinds: str) -> Manifest:
        (found,) = [each for each in self.objects if each["kind"] in kinds]
        return found

    def trigger(self, kind: str) -> dict[str, str]:
        """What a trigger is told."""
        (found,) = [each for each in self.scaler["spec"]["triggers"] if each["type"] == kind]
        metadata: dict[str, str] = found["metadata"]
        return metadata

    @property
    def config(self) -> Manifest:
        """The file that the pods read, its references as they stand."""
        content: Manifest = yaml.safe_load(self.one("ConfigMap")["data"]["config.yaml"])
        return content

    def settings(self, folder: Path) -> Settings:
        """What the pods make of that file, with the variables that the manifest sets and no others."""
        file = folder / "config.yaml"
        file.write_text(self.one("ConfigMap")["data"]["config.yaml"])
        values = secret_example()["stringData"]
        environ = {each["name"]: values[each["valueFrom"]["secretKeyRef"]["key"]] for each in self.container["env"]}
        return load(str(file), environ=environ, dotenv=None)


def manifests(file: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(file.read_text()))


def secret_example() -> Manifest:
    (secret,) = manifests(DEPLOY / "secret.example.yaml")
    return secret


def compose() -> Manifest:
    content: Manifest = yaml.safe_load((DEPLOY / "docker-compose.yaml").read_text())
    return content


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME:-default}` as compose replaces it."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1]) or found[2], text)


def yaml_blocks(document: Path) -> list[str]:
    """The fenced YAML in a page."""
    return re.findall(r"^```yaml\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
