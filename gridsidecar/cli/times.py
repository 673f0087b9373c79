"""Stored times: in UTC for programs, by the person's own clock for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gridsidecar.cli.screen import interactive


def in_utc(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its times in ISO 8601."""
    return {name: _iso(name, value) for name, value in row.items()}


def _iso(name: str, value: Any) -> Any:
    if name.endswith("_at") and isinstance(value, str):
        return _moment(value).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local_time(text: str) -> str:
    """A stored time as the person's own clock shows it, with its zone."""
    return _moment(text).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def short_time(text: str, now: datetime) -> str:
    """The same where room is scarce: on a terminal the time of today, or the day."""
    if not interactive(sys.stdout):
        return local_time(text)
    shown = _moment(text).astimezone()
    return shown.strftime("%H:%M:%S" if shown.date() == now.astimezone().date() else "%Y-%m-%d")


def seconds_between(start: str, end: str) -> float:
    """Between two stored times."""
    return (_moment(end) - _moment(start)).total_seconds()
