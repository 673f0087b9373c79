"""All packages have one version."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import gridsidecar

ROOT = Path(__file__).parents[2]


def test_they_have_one_version() -> None:
    versions = {
        "gridsidecar": tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
        "python": tomllib.loads((ROOT / "sdks/python/pyproject.toml").read_text())["project"]["version"],
        "node": json.loads((ROOT / "sdks/node/package.json").read_text())["version"],
    }
    for name, file, pattern in (
        ("python's word", "sdks/python/gridsidecar_sdk/worker.py", r'SDK = "python/([\d.]+)"'),
        ("node's word", "sdks/node/index.js", r'SDK = "node/([\d.]+)"'),
        ("go's word", "sdks/go/gridsidecar.go", r'sdk = "go/([\d.]+)"'),
        ("shell's word", "sdks/shell/gridsidecar.sh", r'"sdk":"shell/([\d.]+)"'),
    ):
        found = re.search(pattern, (ROOT / file).read_text())
        assert found is not None, file
        versions[name] = found[1]
    assert set(versions.values()) == {gridsidecar.__version__}, versions
    assert f"## [{gridsidecar.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
