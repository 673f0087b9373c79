"""How many files this process may open at a time."""

from __future__ import annotations

import resource

from gridsidecar.errors import EX_CONFIG, GridSidecarError

FEWEST = 64  # a worker takes some 25 before its first task, and 5 for each command that runs


class TooFewFiles(GridSidecarError):
    exit_code = EX_CONFIG


def refuse_too_few() -> None:
    """Raises TooFewFiles. What would fail without them is different each time, and seldom says why."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < FEWEST:
        raise TooFewFiles(
            f"this process may have only {limit} files open, and needs at least {FEWEST}; raise its limit: "
            "ulimit -n 1024 in the shell that starts it, LimitNOFILE=1024 in a unit of systemd, --ulimit nofile=1024 "
            "with docker run"
        )
