"""The bill of materials, in CycloneDX's form: what was put together, for those who look for what is known to be broken.

`python -m bundle.bill FOLDER [FILE…]` prints that of the distributions installed in a folder, and of files of Debian's
packages. It holds neither a time nor a random name: the same build has the same bill.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gridsidecar import __version__

Component = dict[str, Any]
_LICENSES = ("License-Expression", "License")
_LONGEST_LICENSE = 60  # characters; beyond that it is the text of one


def bill(modules: Path, files: Iterable[Path] = (), more: Iterable[Component] = ()) -> Component:
    """`modules`: where distributions are installed; `files`: what came from this machine."""
    found = [*more, *_of_distributions(modules), *_of_files(files)]
    components = {each["bom-ref"]: each for each in found}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _ourselves()},
        "components": [components[name] for name in sorted(components)],
    }


def written(bill: Component) -> str:
    return json.dumps(bill, indent=1) + "\n"


def interpreter() -> Component:
    """The Python that runs this."""
    version = platform.python_version()
    cpe = f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"
    return _component("application", "python", version, f"pkg:generic/python@{version}") | {"cpe": cpe}


def _ourselves() -> Component:
    return _component("application", "gridsidecar", __version__, f"pkg:pypi/gridsidecar@{__version__}")


def _component(kind: str, name: str, version: str, purl: str) -> Component:
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _of_distributions(modules: Path) -> Iterator[Component]:
    for each in distributions(path=[str(modules)]):
        name = each.name.lower().replace("_", "-").replace(".", "-")
        if name != "gridsidecar":
            yield _component("library", name, each.version, f"pkg:pypi/{name}@{each.version}") | _license(each)


def _license(distribution: Distribution) -> Component:
    found = (text for field in _LICENSES for text in distribution.metadata.get_all(field, []))
    name = next((text for text in found if len(text) <= _LONGEST_LICENSE and "\n" not in text), None)
    return {} if name is None else {"licenses": [{"license": {"name": name}}]}


def _of_files(files: Iterable[Path]) -> Iterator[Component]:
    """Debian's packages, where files are of those; else each file by itself."""
    for path in files:
        package = _package_of(path)
        if package is not None:
            yield package
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        yield {
            "type": "file",
            "bom-ref": f"file:{path.name}",
            "name": path.name,
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }


def _package_of(path: Path) -> Component | None:
    """The same file has two names where /lib leads to /usr/lib, and its package knows one of them."""
    real = str(path.resolve())
    for name in (str(path), real, real.removeprefix("/usr"), f"/usr{path}"):
        owner = _asked("dpkg-query", "--search", name).partition(": ")[0]
        if not owner or "," in owner:
            continue
        fields = _asked("dpkg-query", "--show", "--showformat=${Package} ${Version} ${Architecture}", owner).split()
        package, version, architecture = fields
        system = platform.freedesktop_os_release()
        where = f"arch={architecture}&distro={system['ID']}-{system.get('VERSION_ID', 'sid')}"
        purl = f"pkg:deb/{system['ID']}/{package}@{quote(version, safe=':')}?{where}"
        return _component("library", package, version, purl)
    return None


def _asked(*command: str) -> str:
    """Empty where there is no such program, or it knows nothing."""
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bundle.bill", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path, nargs="*")
    given = parser.parse_args()
    print(written(bill(given.folder, given.file)), end="")


if __name__ == "__main__":
    main()
