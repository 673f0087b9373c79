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


Until = Annotated[str | None, typer.Option("--until", help="Only tasks created before then.", metavar="WHEN")]


def moment(text: str | None, now: datetime, option: str = "--since") -> datetime | None:
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
            f"{option} {text!r} is no time; write 30m, 2h or 7d for a time ago, 2026-01-31 or 2026-01-31T08:00"
        ) from None


def span_of(text: str | None, option: str, longest: float) -> float:
    """Seconds of a duration like 10m, 0 for none. UsageError when it is none, or longer than that."""
    if text is None:
        return 0.0
    found = _AGO.fullmatch(text.strip())
    seconds = timedelta(**{_UNITS[found[2]]: min(float(found[1]), 1e6)}).total_seconds() if found else 0.0
    if not 0 < seconds <= longest:
        days = int(longest // 86400)
        raise UsageError(f"{option} {text!r} is no duration; write 30s, 10m or 2h, and no more than {days} days")
    return seconds
