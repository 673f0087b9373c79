"""Builds the Dockerfile for real: with Docker where it answers, else with buildah on a base made by debootstrap."""

from __future__ import annotations

import abc
import ast
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import debian
from tests.support.roots import BUNDLE
from tests.support.servers import find_program
from tests.support.services import docker_answers

ROOT = Path(__file__).parents[2]
SUITE = "bookworm"
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_OPTIONS = {"index-url", "extra-index-url", "find-links", "no-index", "cert", "proxy", "trusted-host", "timeout"}
WORKDIR = "/srv"  # of the base that we make
BUILD_TIMEOUT_S = 900
BUILT = "/bundle"


class ImageFailed(Exception):
    """A step of building or running the image failed; the message ends with its output."""


def run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    """Standard output of a command that must succeed; both streams go into ImageFailed."""
    answer = subprocess.run(
        command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, env=os.environ | (environment or {})
    )
    if answer.returncode != 0:
        shown = " ".join(str(word) for word in command)
        raise ImageFailed(f"{shown}\nended with {answer.returncode}:\n{answer.stdout}{answer.stderr}"[-6000:])
    return answer.stdout


class Image(abc.ABC):
    """The built image. `config` is its OCI configuration: User, Entrypoint, Cmd, Env, StopSignal …"""

    config: dict[str, Any]
    base_workdir: str
    added_bytes: int
    """What the build put on top of the base image."""
    bundle: Path
    """What the stage `bundle` has. It is built along, so that what both are made of is built once."""

    @abc.abstractmethod
    def run(self, *command: str) -> str:
        """Output of `command` instead of the entry point, as the image's user."""

    @abc.abstractmethod
    def start_as_deployed(self, settings: str) -> subprocess.CompletedProcess[str]:
        """The image as an engine starts it: entry point and command as process 1, `settings` as its file."""


@contextmanager
def built_image() -> Iterator[Image | None]:
    """The image, or None where neither Docker nor root with buildah and debootstrap is at hand."""
    with tempfile.TemporaryDirectory(prefix="gs-image-") as folder:
        if docker_answers():
            yield _DockerImage(Path(folder))
        elif os.geteuid() == 0 and find_program("buildah") and find_program("debootstrap"):
            storage = _Buildah(Path(folder))
            try:
                yield _BuildahImage(storage, Path(folder))
            finally:
                storage.buildah("rm", "--all")
        else:
            yield None


class _DockerImage(Image):
    def __init__(self, folder: Path) -> None:
        self._name, self._folder, self.base_workdir = "gridsidecar:test", folder, "/app"
        run("docker", "build", "--tag", self._name, "--file", _dockerfile(folder), ROOT)
        self.config = json.loads(run("docker", "image", "inspect", self._name))[0]["Config"]
        self.added_bytes = int(run("docker", "run", "--rm", "--entrypoint", "du", self._name, "-sb", "/opt").split()[0])
        container = run("docker", "create", self._name).strip()
        run("docker", "cp", f"{container}:{BUILT}", folder)
        run("docker", "rm", container)
        self.bundle = folder / BUILT.lstrip("/")

    def run(self, *command: str) -> str:
        return run("docker", "run", "--rm", "--entrypoint", command[0], self._name, *command[1:])

    def start_as_deployed(self, settings: str) -> subprocess.CompletedProcess[str]:
        file = self._folder / "config.yaml"
        file.write_text(settings)
        mount = f"{file}:/etc/gridsidecar/config.yaml:ro"
        command = ["docker", "run", "--rm", "--volume", mount, self._name]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)


class _Buildah:
    """Images in a store of our own, commands in a chroot: needs no engine and no kernel feature beyond root."""

    def __init__(self, folder: Path) -> None:
        self._base = ["buildah", "--storage-driver", "vfs", "--root", f"{folder}/store", "--runroot", f"{folder}/run"]

    def buildah(self, *arguments: str) -> str:
        return run(*self._base, *arguments, environment={"BUILDAH_ISOLATION": "chroot"}).strip()

    def import_tar(self, tar: Path, name: str) -> None:
        container = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", container, str(tar), "/")
        self.buildah("config", "--workingdir", WORKDIR, container)
        self.buildah("commit", "--quiet", "--rm", container, name)

    def mounted(self, image: str) -> tuple[str, Path]:
        container = self.buildah("from", image)
        return container, Path(self.buildah("mount", container))


class _BuildahImage(Image):
    def __init__(self, storage: _Buildah, folder: Path) -> None:
        self.base_workdir = WORKDIR
        base, name = f"localhost/base-{uuid.uuid4().hex[:8]}", "localhost/gridsidecar:test"
        storage.import_tar(base_system(), base)
        volumes = [word for volume in host_access(folder) for word in ("--volume", volume)]
        options = ["--network", "host", "--build-arg", f"BASE_IMAGE={base}", "--build-arg", "WORKDIR=.", *volumes]
        storage.buildah("build", *options, "--file", str(_dockerfile(folder)), "--tag", name, str(ROOT))
        self.config = json.loads(storage.buildah("inspect", "--type", "image", name))["OCIv1"]["config"]
        self._storage = storage
        self._container, self._root = storage.mounted(name)
        self.bundle = self._root / BUILT.lstrip("/")
        self.added_bytes = _size(self._root) - _size(self.bundle) - _size(storage.mounted(base)[1])

    def run(self, *command: str) -> str:
        """By way of a file: buildah now and then loses what a short command prints."""
        file = f"tmp/{uuid.uuid4().hex}"
        to_file = ("sh", "-c", 'file=$1; shift; "$@" >"$file"', "sh", f"/{file}")
        self._storage.buildah("run", self._container, "--", *to_file, *command)
        return (self._root / file).read_text()

    def start_as_deployed(self, settings: str) -> subprocess.CompletedProcess[str]:
        """In a process namespace of its own, because buildah's chroot shares ours and has no process 1."""
        (self._root / "etc/gridsidecar/config.yaml").write_text(settings)
        user, group = self.config["User"].split(":")
        place = [f"--root={self._root}", f"--wd={self.config['WorkingDir']}", f"--setuid={user}", f"--setgid={group}"]
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *place]
        command += ["env", "-i", *self.config["Env"], *self.config["Entrypoint"], *self.config["Cmd"]]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)


def _dockerfile(folder: Path) -> Path:
    """Ours, and beside what its image has the one of its stage `bundle`."""
    file = folder / "Dockerfile"
    file.write_text(f"{(ROOT / 'Dockerfile').read_text()}COPY --from=bundle {BUNDLE} {BUILT}\n")
    return file


def base_system() -> Path:
    """A minimal Debian with Python as a tar file; made once, then kept in the cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gridsidecar-tests"
    tar = cache / f"{SUITE}-{hashlib.sha256(BASE_PACKAGES.encode()).hexdigest()[:8]}.tar"
    if tar.exists():
        return tar
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gs-base-") as folder:
        root, new = Path(folder) / "root", tar.with_suffix(f".{os.getpid()}")
        debian.bootstrap(SUITE, BASE_PACKAGES, root)
        run("tar", "-C", root, "-cf", new, ".")
        new.rename(tar)
    return tar


def pip_settings() -> dict[str, str]:
    """pip's settings on this machine about where packages come from."""
    lines = run(sys.executable, "-m", "pip", "config", "list").splitlines()
    pairs = [line.split("=", 1) for line in lines if "=" in line]
    # Variables are listed first and weigh more than files.
    return {
        key.rpartition(".")[2]: " ".join(ast.literal_eval(value).split())
        for key, value in reversed(pairs)
        if key.rpartition(".")[2] in PIP_OPTIONS
    }


def host_access(folder: Path) -> list[str]:
    """Volumes that let the build reach packages the way this machine does; they leave nothing in the image."""
    pip, apt = folder / "pip.conf", folder / "apt.conf"
    settings = pip_settings()
    pip.write_text("\n".join(["[global]", *(f"{key} = {value}" for key, value in settings.items()), ""]))
    apt.write_text("".join(f'{key} "{value}";\n' for key, value in debian.apt_settings().items()))
    shared = {CA_BUNDLE, *(path for value in settings.values() for path in _local_folders(value))}
    volumes = [f"{path}:{path}:ro" for path in sorted(shared) if path.exists()]
    return [f"{pip}:/etc/pip.conf:ro", f"{apt}:/etc/apt/apt.conf.d/99-this-machine:ro", *volumes]


def _local_folders(setting: str) -> Iterator[Path]:
    for word in setting.split():
        if word.startswith("file:///"):
            yield Path(word.removeprefix("file://")).parent  # an index refers to files beside it
        elif word.startswith("/"):
            yield Path(word)


def _size(root: Path) -> int:
    return int(run("du", "--summarize", "--bytes", "--one-file-system", root).split()[0])
