"""What a bundle takes: room, and time until it can take a task."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

TRIES = 3
_SETTINGS = """
broker: {{url: "sqlite:///{folder}/tasks.db"}}
store: {{url: "sqlite:///{folder}/tasks.db"}}
handlers: {{default: {{command: [cat]}}}}
"""


def megabytes(root: Path) -> float:
    return sum(path.lstat().st_size for path in root.rglob("*") if not path.is_dir()) / 1e6


def seconds_to_consuming(root: Path) -> float:
    """The best of a few starts: what else this machine does is not the bundle's."""
    return min(_one_start(root) for _ in range(TRIES))


def _one_start(root: Path) -> float:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(_SETTINGS.format(folder=folder))
        started = time.monotonic()
        command: list[str | Path] = [root / "bin/gridsidecar", "run", "--config", config]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                if "consuming" in line:
                    taken = time.monotonic() - started
                    process.kill()
                    return taken
    raise RuntimeError(f"{root} does not start:\n{''.join(said)}")
