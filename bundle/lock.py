"""`python -m bundle.lock`: writes the locks: all that images and bundles hold, with exact versions and hashes.

They are for every Python that gridsidecar runs on, and every machine that there are wheels for. What is locked stays as
it is while pyproject.toml allows it; `--upgrade` takes the newest of all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PROJECT = CHECKOUT / "pyproject.toml"
LOCK = CHECKOUT / "requirements.lock"
EXTRAS = {"otel": CHECKOUT / "requirements-otel.lock"}  # those that a bundle may be asked for, each with all of LOCK
_UV = "uv==0.13.9"
_OLDEST_PYTHON = "3.11"


def lock_of(extra: str | None) -> Path:
    return LOCK if extra is None else EXTRAS[extra]


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python -m bundle.lock", description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="the newest versions that pyproject.toml allows")
    upgrade = ["--upgrade"] if parser.parse_args().upgrade else []
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--target", folder, _UV], check=True)
        uv = Path(folder) / "bin/uv"
        _write(uv, LOCK, *upgrade)
        for extra, lock in EXTRAS.items():
            _write(uv, lock, "--extra", extra, "--constraint", LOCK.name, *upgrade)


def _write(uv: Path, lock: Path, *options: str) -> None:
    words = ["pip", "compile", "--quiet", "--universal", "--python-version", _OLDEST_PYTHON]
    words += ["--generate-hashes", "--only-binary", ":all:", "--custom-compile-command", "python -m bundle.lock"]
    answer = subprocess.run([uv, *words, *options, "--output-file", lock.name, PROJECT.name], cwd=CHECKOUT)
    if answer.returncode != 0:
        sys.exit(f"{lock.name} is as it was")
    os.chmod(lock, 0o644)


if __name__ == "__main__":
    main()
