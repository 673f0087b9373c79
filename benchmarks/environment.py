"""The virtual environment with the peers in it: made when something is missing, and entered. Standard library only."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ABOUT = "Speed of gridsidecar beside others, as ratios within one run on one machine, on private servers."
ROOT = Path(__file__).parents[1]
VENV = ROOT / ".venv-bench"
_STAMP = VENV / "gridsidecar-stamp"
_NEEDED = ("pydantic", "aio_pika", "aiomysql", "uvloop", "typer", "yaml", "pika", "matplotlib")
_PEERS = ("celery", "sqlalchemy", "dramatiq")


def has(*modules: str) -> bool:
    """Whether this interpreter could import them all."""
    return all(importlib.util.find_spec(module) is not None for module in modules)


def enter(*, with_peers: bool) -> None:
    """Go on where all that is needed is installed: here, or else in `.venv-bench`, in place of this process."""
    if has(*_NEEDED, *(_PEERS if with_peers else ())):
        return
    python = VENV / "bin/python"
    if _stamp() != (_STAMP.read_text() if _STAMP.exists() else ""):
        _make(python)
    os.execv(python, [str(python), "-m", "benchmarks", *sys.argv[1:]])


def _make(python: Path) -> None:
    print(f"making {VENV.name}", file=sys.stderr, flush=True)
    if VENV.exists():
        shutil.rmtree(VENV)
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    (VENV / ".gitignore").write_text("*\n")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", ".[bench]"]
    subprocess.run(pip, check=True, cwd=ROOT)
    _STAMP.write_text(_stamp())


def _stamp() -> str:
    """What the environment depends on."""
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + sys.version.encode()).hexdigest()
