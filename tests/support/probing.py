"""`gridsidecar health`, as a probe runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


def probed(file: Path, *flags: str) -> tuple[int, str]:
    """Exit code and sentence."""
    command = [sys.executable, "-m", "gridsidecar", "health", *flags, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd=ROOT)
    return done.returncode, (done.stdout + done.stderr).strip()


async def says(file: Path, words: str, *flags: str, timeout: float = 30) -> int:
    """Wait until the probe says these words; its exit code then."""
    heard: list[tuple[int, str]] = []

    def said() -> bool:
        heard.append(probed(file, *flags))
        return words in heard[-1][1]

    try:
        await eventually(said, timeout, interval=0.2)
    except AssertionError:
        raise AssertionError(f"never said {words!r}; last: {heard[-1]}") from None
    return heard[-1][0]
