"""Stored times by the person's own clock."""

from __future__ import annotations

import sys
from datetime import datetime

from gridsidecar.cli.terminal import interactive
from gridsidecar.operations.shapes import moment


def local_time(text: str) -> str:
    """A stored time as the person's own clock shows it, with its zone."""
    return moment(text).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def short_time(text: str | None, now: datetime) -> str:
    """The same where room is scarce: on a terminal the time of today, or the day. Nothing of a row without a time."""
    if text is None:
        return ""
    if not interactive(sys.stdout):
        return local_time(text)
    shown = moment(text).astimezone()
    return shown.strftime("%H:%M:%S" if shown.date() == now.astimezone().date() else "%Y-%m-%d")


def seconds_between(start: str, end: str) -> float:
    """Between two stored times."""
    return (moment(end) - moment(start)).total_seconds()
