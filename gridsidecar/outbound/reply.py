"""How a request can end."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from msgspec import Struct

from gridsidecar.errors import GridSidecarError

LONGEST_WAIT = 7 * 86400.0  # seconds; nobody means more

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


class Reply(Struct, frozen=True):
    """What the other side said, whatever it means."""

    status: int
    retry_after: float | None = None  # seconds that it asks us to wait, 0 or more
    text: str = ""  # the start of the body


class TargetRefused(GridSidecarError):
    """The request must not be sent, now or later."""


class NotSent(GridSidecarError):
    """There was no reply; another try may have one. Whether the other side has read the request is not known."""


class NotTried(NotSent):
    """Nothing was begun, for want of room in this process: it is not the other side's failure."""


def retry_after(value: str, now: datetime) -> float | None:
    """The seconds that a Retry-After header means; None when it means nothing."""
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(value.replace(":59:60 ", ":59:59 "))  # a leap second
        if moment.tzinfo is None:  # the zone is "-0000"
            moment = moment.replace(tzinfo=UTC)
        return min(max(0.0, (moment - now).total_seconds()), LONGEST_WAIT)
    except (ValueError, OverflowError):
        return None
