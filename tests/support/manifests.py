"""The files in `deploy/`, read as the programs that they are for read them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gridsidecar.config.load import load
from gridsidecar.config.settings import Settings
from tests.support.cli import gridsidecar

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose"

Manifest = dict[str, Any]


class Deployed:
    """One manifest file, by default one of ours: a configuration, the pods that run with it, and what scales them."""

    def __init__(self, name: str, folder: Path = DEPLOY) -> None:
        self.objects = manifests(folder / name)
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
    """Both files, put together as compose does it: lists grow, other things and words to run are replaced."""
    printed, added = ((DEPLOY / f"docker-compose{ending}.yaml").read_text() for ending in ("", ".override"))
    content: Manifest = _over(yaml.safe_load(printed), yaml.safe_load(added))
    return content


_WORDS = ("command", "entrypoint")


def _over(below: Any, above: Any) -> Any:
    match below, above:
        case dict(), dict():
            return {
                **below,
                **{key: value if key in _WORDS else _over(below.get(key), value) for key, value in above.items()},
            }
        case list(), list():
            return [*below, *above]
        case _:
            return above


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME:-default}` as compose replaces it."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1]) or found[2], text)


PRINTED = ("deployment.yaml", "scaledjob.yaml", "docker-compose.yaml", "secret.example.yaml")


def printed(name: str) -> str:
    """One of these files as the command makes it that its first lines name."""
    made_by = re.search(r"^#   (gridsidecar manifests .*) > ", (DEPLOY / name).read_text(), re.MULTILINE)
    assert made_by, f"{name} does not say what made it"
    done = gridsidecar(DEPLOY, *shlex.split(made_by[1])[1:])
    assert done.returncode == 0, done.stderr
    return done.stdout


def yaml_blocks(document: Path) -> list[str]:
    """The fenced YAML in a page."""
    return re.findall(r"^```yaml\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)


if __name__ == "__main__":  # python -m tests.support.manifests makes them anew
    for each in PRINTED:
        (DEPLOY / each).write_text(printed(each))
