"""The packages as a tag publishes them: an index takes them, and each works where nothing else is.

They are built once, into the folder GRIDSIDECAR_TEST_PACKAGES, from which CI publishes, or into a temporary one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
import yaml

import gridsidecar
from bundle.lock import EXTRAS, LOCK

pytestmark = pytest.mark.timeout(600)  # builds and installs fetch from an index

ROOT = Path(__file__).parents[2]
VERSION = gridsidecar.__version__
PROJECTS = {"gridsidecar": ROOT, "gridsidecar_sdk": ROOT / "sdks" / "python"}  # by the name of the module
ADDRESS = (ROOT / "sdks/go/go.mod").read_text().split()[1].removesuffix("/sdks/go")  # Go finds modules by it
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
each_project = pytest.mark.parametrize("name", PROJECTS)


def run(folder: Path, *command: str | Path) -> str:
    """Its output; it sees nothing of this checkout."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GRIDSIDECAR"))}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = os.environ.get("GRIDSIDECAR_TEST_PACKAGES")
    folder = Path(place).resolve() if place else tmp_path_factory.mktemp("packages")
    folder.mkdir(exist_ok=True)
    for project in PROJECTS.values():
        run(folder, sys.executable, "-m", "build", "--outdir", folder, project)
    run(folder, "npm", "pack", ROOT / "sdks" / "node")
    return folder


def wheel(packages: Path, name: str) -> Path:
    return packages / f"{name}-{VERSION}-py3-none-any.whl"


def sdist(packages: Path, name: str) -> Path:
    return packages / f"{name}-{VERSION}.tar.gz"


def in_repository(folder: Path) -> set[str]:
    """The files of a folder that are in the repository, or could be."""
    listed = run(folder, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    return {name for name in listed.split("\0") if (folder / name).is_file()}


def metadata(packages: Path, name: str) -> Message:
    with zipfile.ZipFile(wheel(packages, name)) as archive:
        return message_from_bytes(archive.read(f"{name}-{VERSION}.dist-info/METADATA"))


# -- what is in them --------------------------------------------------------------------------------------------------


def test_an_index_would_take_them(packages: Path) -> None:
    made = {path.name for path in packages.iterdir()} - {f"gridsidecar-sdk-{VERSION}.tgz", ".gitignore"}
    assert made == {path(packages, name).name for name in PROJECTS for path in (wheel, sdist)}
    run(packages, sys.executable, "-m", "twine", "check", "--strict", *sorted(made))


@each_project
def test_an_sdist_holds_files_of_the_repository_and_none_beside_them(packages: Path, name: str) -> None:
    with tarfile.open(sdist(packages, name)) as archive:
        held = {path.partition("/")[2] for path in archive.getnames()}
    at_root = {"PKG-INFO", ".gitignore"}
    assert held - at_root - in_repository(PROJECTS[name]) == set()
    assert {"LICENSE", "README.md", "pyproject.toml", f"{name}/py.typed"} <= held
    kept = {"gridsidecar", "protocol"} if name == "gridsidecar" else {name, "tests"}
    assert {path.partition("/")[0] for path in held if "/" in path} == kept


@each_project
def test_a_wheel_holds_the_whole_module_and_its_licence(packages: Path, name: str) -> None:
    whole = {path for path in in_repository(PROJECTS[name]) if path.startswith(f"{name}/")}
    if name == "gridsidecar":
        whole.add("gridsidecar/http/openapi.yaml")
    with zipfile.ZipFile(wheel(packages, name)) as archive:
        held = set(archive.namelist())
    assert {path for path in held if ".dist-info/" not in path} == whole
    assert f"{name}-{VERSION}.dist-info/licenses/LICENSE" in held


@each_project
def test_its_page_on_an_index_leads_to_files_of_this_version(packages: Path, name: str) -> None:
    read = metadata(packages, name)
    text = read.get_payload()
    assert isinstance(text, str)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("#")]
    prefix = re.compile(rf"https://{re.escape(ADDRESS)}/(?:blob|raw)/v{re.escape(VERSION)}/([^#]+)")
    ours = [found[1] for link in links if (found := prefix.match(link))]
    assert ours
    assert [path for path in ours if not (ROOT / path).exists()] == []
    assert [link for link in links if not prefix.match(link) and not link.startswith("https://")] == []
    urls = dict(line.split(", ") for line in read.get_all("Project-URL", []))
    assert {"Source", "Changelog", "Issues"} <= urls.keys()
    assert all(url.startswith(f"https://{ADDRESS}/") or url == f"https://{ADDRESS}" for url in urls.values())


def test_the_node_package_says_where_it_comes_from(packages: Path) -> None:
    with tarfile.open(packages / f"gridsidecar-sdk-{VERSION}.tgz") as archive:
        file = archive.extractfile("package/package.json")
        assert file is not None
        package = json.load(file)
        held = {path.removeprefix("package/") for path in archive.getnames()}
    assert package["repository"]["url"] == f"git+https://{ADDRESS}.git"
    assert (ROOT / package["repository"]["directory"] / "index.js").is_file()
    assert {"LICENSE", "README.md"} <= held
    whole = {path for path in in_repository(ROOT / "sdks/node") if not path.startswith("test/")}
    assert held == whole - {"conformance.js"}


# -- where nothing else is --------------------------------------------------------------------------------------------


def environment(folder: Path) -> Path:
    """An empty virtual environment; the path of its Python."""
    run(folder, sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    return folder / "venv" / "bin" / "python"


def install(python: Path, *what: str | Path) -> None:
    run(python.parent, *PIP, "--python", python, "install", "--quiet", "--no-compile", *what)


def works(python: Path, folder: Path) -> None:
    run(folder, *PIP, "--python", python, "check")
    program = python.with_name("gridsidecar")
    assert run(folder, program, "--version") == f"gridsidecar {VERSION}\n"
    for name in PROJECTS:
        place = run(folder, python, "-c", f"import {name}; print({name}.__file__)")
        assert Path(place).is_relative_to(python.parents[1])
    handler = "from gridsidecar_sdk import run; run(lambda ctx, data: {'doubled': data['n'] * 2})"
    answer = run(folder, program, "exec", "--json", "--data", '{"n": 21}', "--", python, "-c", handler)
    assert json.loads(answer)["result"] == {"doubled": 42}


def test_the_wheels_install_with_what_the_index_has(packages: Path, tmp_path: Path) -> None:
    python = environment(tmp_path)
    install(python, *(wheel(packages, name) for name in PROJECTS))
    works(python, tmp_path)


def test_the_sdists_install_with_what_is_locked_and_so_does_the_extra(packages: Path, tmp_path: Path) -> None:
    python = environment(tmp_path)
    install(python, "--require-hashes", "--requirement", LOCK)
    install(python, "--no-deps", *(sdist(packages, name) for name in PROJECTS))
    works(python, tmp_path)
    install(python, "--require-hashes", "--requirement", EXTRAS["otel"])
    install(python, "--no-index", f"{wheel(packages, 'gridsidecar')}[otel]")  # all that it asks for is there
    run(tmp_path, python, "-c", "import gridsidecar.telemetry.spans")


TYPESCRIPT = ("typescript@5", "@types/node@20")
COMPILER = ("--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022", "--types", "node")
HANDLER = """
import { Permanent, Retry, TaskClient, run, type Context, type Task } from "gridsidecar-sdk";
import { serve, type Serving } from "gridsidecar-sdk/serve";

interface Image { url: string }

async function resize(task: Task<Image>, ctx: Context<Image>): Promise<{ bytes: number }> {
  if (!task.data.url) throw new Permanent("no url", { type: "BadInput" });
  if (ctx.signal.aborted) throw new Retry("later", { afterSeconds: 30 });
  ctx.progress(50, "half");
  return { bytes: task.data.url.length };
}

export async function submit(client: TaskClient): Promise<string> {
  return await client.submit({ task_type: "resize", data: { url: "a" } });
}
export async function served(): Promise<Serving> {
  return await serve({ resize });
}

await run(resize);
"""
TASK = {"gs": 1, "type": "task", "task_id": "t", "task_type": "resize", "data": {"url": "four"}, "run": {"attempt": 1}}


def test_the_node_package_works_in_javascript_and_typescript(packages: Path, tmp_path: Path) -> None:
    run(tmp_path, "npm", "init", "--yes")
    run(tmp_path, "npm", "pkg", "set", "type=module")
    package = packages / f"gridsidecar-sdk-{VERSION}.tgz"
    run(tmp_path, "npm", "install", "--no-audit", "--no-fund", package, *TYPESCRIPT)
    (tmp_path / "handler.ts").write_text(HANDLER)
    (tmp_path / "wrong.ts").write_text(HANDLER.replace("task.data.url.length", "task.data.size"))
    compiler = [str(tmp_path / "node_modules" / ".bin" / "tsc"), *COMPILER]
    wrong = subprocess.run([*compiler, "--noEmit", "wrong.ts"], cwd=tmp_path, capture_output=True, text=True)
    assert "Property 'size' does not exist on type 'Image'" in wrong.stdout
    run(tmp_path, *compiler, "handler.ts")
    done = subprocess.run(
        ["node", "handler.js"], cwd=tmp_path, input=json.dumps(TASK) + "\n", capture_output=True, text=True, timeout=60
    )
    assert '"result":{"bytes":4}' in done.stdout, done.stdout + done.stderr


def test_a_tag_publishes_the_very_files_that_were_tried() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    commands = [step.get("run", "") for step in jobs["packages"]["steps"]]
    assert f"GRIDSIDECAR_TEST_PACKAGES=dist python -m pytest {Path(__file__).relative_to(ROOT)}" in commands
    assert "packages" in jobs["publish"]["needs"]
    published = [step["run"] for step in jobs["publish"]["steps"] if "npm publish" in step.get("run", "")]
    assert ["npm publish ./dist/" in command for command in published] == [True]  # without ./ it is a name at GitHub
