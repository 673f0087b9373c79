"""One examination in this process, by its findings."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gridsidecar.clock import SystemClock
from gridsidecar.doctor import Finding, State, examine


async def look(folder: Path, config: Mapping[str, Any], *only: str, manifest: Path | None = None) -> dict[str, Finding]:
    """The findings by their ids."""
    file = folder / "config.yaml"
    file.write_text(json.dumps({"handlers": {"default": {"command": ["cat"]}}, **config}))
    report = await examine(
        str(file),
        environ={"PATH": os.environ["PATH"]},
        clock=SystemClock(),
        manifest=None if manifest is None else str(manifest),
        only=only,
    )
    found = {each.id: each.finding for each in report.checked}
    for finding in found.values():
        assert finding.found
        assert not finding.advice or finding.advice not in finding.found, finding
        assert finding.advice or finding.state in (State.OK, State.UNKNOWN), finding
    return found


def states(found: Mapping[str, Finding]) -> dict[str, str]:
    return {name: str(finding.state) for name, finding in found.items()}
