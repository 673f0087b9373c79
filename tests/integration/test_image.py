"""The Dockerfile, built for real and looked at from inside."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

import gridsidecar
from bundle.elf import read_elf
from bundle.libraries import elf_files
from bundle.lock import LOCK
from tests.support.image import Image, built_image
from tests.support.roots import BUNDLE, bare_root, run_in
from tests.unit.test_lock import pins

pytestmark = pytest.mark.timeout(1500)

MOST_BYTES_ADDED = 120 * 1024 * 1024
SETTINGS = """
broker: {url: "sqlite:////var/lib/gridsidecar/tasks.db"}
store: {url: "sqlite:////var/lib/gridsidecar/tasks.db"}
worker: {idle_timeout: 1}
handlers: {default: {command: [cat]}}
"""


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with built_image() as image:
        if image is None:
            pytest.skip("neither Docker nor root with buildah and debootstrap")
        yield image


def test_the_sidecar_answers_as_a_plain_user(image: Image) -> None:
    assert gridsidecar.__version__ in image.run("gridsidecar", "version")
    assert image.run("id", "-u").strip() == "10001"


def test_the_entry_point_is_a_proven_process_1(image: Image) -> None:
    assert image.config["Entrypoint"] == ["tini", "--", "gridsidecar"]
    assert image.config["StopSignal"] == "SIGTERM"
    assert image.config["User"] == "10001:10001"
    assert image.config["WorkingDir"] == image.base_workdir  # relative paths mean what they meant in it


def test_it_runs_as_deployed_and_leaves_when_idle(image: Image) -> None:
    answer = image.start_as_deployed(SETTINGS)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "not running as PID 1" not in answer.stderr


def test_bad_settings_end_it_with_the_configuration_exit_code(image: Image) -> None:
    answer = image.start_as_deployed("broker: {no_such_key: 1}")
    assert answer.returncode == 78, answer.stdout + answer.stderr
    assert "no_such_key" in answer.stderr


def test_a_handler_can_write_its_home_and_nothing_that_runs(image: Image) -> None:
    assert image.run("sh", "-c", "touch /var/lib/gridsidecar/mine && echo written").strip() == "written"
    for folder in ("/app", "/etc/gridsidecar", "/opt/gridsidecar", "/usr/local/bin"):
        assert image.run("sh", "-c", f"touch {folder}/mine 2>&1 || echo refused").strip().endswith("refused"), folder
        assert image.run("stat", "-c", "%u:%g", folder).strip() == "0:0"


def test_it_brings_no_compiler_and_no_installer(image: Image) -> None:
    found = image.run("sh", "-c", "for name in gcc cc c++ make ld; do command -v $name; done; true")
    assert found == ""
    assert image.run("sh", "-c", "ls /opt/gridsidecar/bin").split().count("pip") == 0


def test_it_holds_what_is_locked_and_says_so(image: Image) -> None:
    bill = json.loads(image.run("cat", "/opt/gridsidecar/share/gridsidecar.cdx.json"))
    check_bill(bill)
    show = "from importlib.metadata import distributions\nfor each in distributions(): print(each.name, each.version)"
    installed = dict(line.split() for line in image.run("/opt/gridsidecar/bin/python", "-c", show).splitlines())
    assert installed.pop("gridsidecar") == gridsidecar.__version__
    assert {canonicalize_name(name): version for name, version in installed.items()} == of_python(bill)
    assert image.config["Labels"]["org.opencontainers.image.version"] == gridsidecar.__version__


def test_the_stage_of_the_bundle_makes_one(image: Image, tmp_path: Path) -> None:
    bill = json.loads((image.bundle / "share/gridsidecar.cdx.json").read_text())
    check_bill(bill)
    names = {path.name for path in elf_files(image.bundle)}
    assert {name for path in elf_files(image.bundle) for name in read_elf(path).needed} - names == set()
    if os.geteuid() == 0:
        said = run_in(bare_root(tmp_path / "root"), image.bundle, [f"{BUNDLE}/bin/gridsidecar", "version"])
        assert gridsidecar.__version__ in said


def check_bill(bill: dict[str, Any]) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    assert bill["metadata"]["component"]["version"] == gridsidecar.__version__
    locked = pins(LOCK)
    assert set(of_python(bill).items()) <= set(locked.items())
    assert {"aiomysql", "cryptography", "uvloop"} <= of_python(bill).keys()
    assert [each for each in bill["components"] if each.get("purl", "").startswith("pkg:deb/")]


def of_python(bill: dict[str, Any]) -> dict[str, str]:
    return {
        each["name"]: each["version"] for each in bill["components"] if each.get("purl", "").startswith("pkg:pypi/")
    }


def test_it_is_small(image: Image) -> None:
    print(f"the image adds {image.added_bytes / 1024 / 1024:.0f} MiB to its base")
    assert image.added_bytes < MOST_BYTES_ADDED
