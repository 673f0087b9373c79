"""Moments and spans as people write them: 2h, a day, a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_LEAP_SECOND = re.compile(r"(\d{4}-?\d\d-?\d\d.\d\d:?\d\d:?)60(?!\d)(.*)", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def time_of(text: str) -> datetime:
    """An ISO 8601 time, aware or not as it is written; a leap second (23:59:60) is the second after it. ValueError and
    OverflowError when it is none."""
    written = text.strip()
    leap = _LEAP_SECOND.fullmatch(written) if "60" in written else None
    if leap is None:
        return datetime.fromisoformat(written)
    after = datetime.fromisoformat(f"{leap[1]}59{leap[2]}") + timedelta(seconds=1)
    if after.minute % 15:  # the ends of an hour in UTC, seen from any zone
        raise ValueError("no leap second can be here")
    return after


def moment_of(text: str, now: datetime) -> datetime:
    """The moment that is meant, in UTC; without a zone it is by this machine's clock. ValueError when it is none."""
    try:
        ago = _SPAN.fullmatch(text.strip())
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        return time_of(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is no time; write 30m, 2h or 7d for a time ago, 2026-01-31 or 2026-01-31T08:00") from None


def later_of(text: str, now: datetime) -> datetime:
    """A moment to come, in UTC: in 30m, or at a time. ValueError when it is none, or over."""
    try:
        ahead = _SPAN.fullmatch(text.strip())
        if ahead is not None:
            moment = now + timedelta(**{_UNITS[ahead[2]]: float(ahead[1])})
        else:
            moment = time_of(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is no time; write 30m, 2h or 7d, or 2026-01-31T08:00") from None
    if moment <= now:
        raise ValueError("is over already; leave it out, or name a time to come")
    return moment


def span_of(text: str, longest: float) -> float:
    """Seconds of a duration like 10m. ValueError when it is none, or longer than that."""
    found = _SPAN.fullmatch(text.strip())
    seconds = timedelta(**{_UNITS[found[2]]: min(float(found[1]), 1e6)}).total_seconds() if found else 0.0
    if not 0 < seconds <= longest:
        raise ValueError(f"is no duration; write 30s, 10m or 2h, and no more than {int(longest // 86400)} days")
    return seconds
