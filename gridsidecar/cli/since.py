"""`--since`: a time ago, a day, or a moment."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from gridsidecar.errors import UsageError

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Since = Annotated[
    str | None,
    typer.Option(
        "--since", help="Only tasks created since then: 30m, 2h, 7d ago, 2026-01-31, 2026-01-31T08:00.", metavar="WHEN"
    ),
]


def moment(text: str | None, now: datetime) -> datetime | None:
    """The moment that is meant, in UTC; without a zone it is by the person's own clock. UsageError when it is none."""
    if text is None:
        return None
    try:
        ago = _AGO.fullmatch(text.strip())
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since {text!r} is no time; write 30m, 2h or 7d for a time ago, 2026-01-31 or 2026-01-31T08:00"
        ) from None
