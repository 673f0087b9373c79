"""`--since`, `--until` and durations on the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from gridsidecar.errors import UsageError
from gridsidecar.wire.moments import moment_of, span_of

Since = Annotated[
    str | None,
    typer.Option(
        "--since", help="Only tasks created since then: 30m, 2h, 7d ago, 2026-01-31, 2026-01-31T08:00.", metavar="WHEN"
    ),
]


Until = Annotated[str | None, typer.Option("--until", help="Only tasks created before then.", metavar="WHEN")]


def moment(text: str | None, now: datetime, option: str = "--since") -> datetime | None:
    """UsageError when it is none."""
    try:
        return None if text is None else moment_of(text, now)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} {error}") from None


def span(text: str | None, option: str, longest: float) -> float:
    """Seconds, 0 for none. UsageError when it is none, or longer than that."""
    try:
        return 0.0 if text is None else span_of(text, longest)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} {error}") from None
