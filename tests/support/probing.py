"""`gridsidecar health`, as a probe runs it."""

from __future__ import annotations

from pathlib import Path

from tests.support.cli import ROOT, gridsidecar
from tests.support.waiting import eventually


def probed(file: Path, *flags: str) -> tuple[int, str]:
    """Exit code and sentence."""
    done = gridsidecar(ROOT, "health", *flags, str(file), limit=20)
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
