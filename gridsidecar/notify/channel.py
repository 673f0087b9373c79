"""The seam between what is to be told and where it goes."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from msgspec import Struct

from gridsidecar.notify.digest import Digest


class NotAccepted(Struct, frozen=True):
    """The other side answered and did not take the message."""

    reason: str
    retry_after: float | None = None  # seconds
    final: bool = False  # no other try can help, and that is told already


class Channel(Protocol):
    """One place that messages go to."""

    async def send(self, digest: Digest, message_id: str, moment: datetime) -> NotAccepted | None:
        """One try, bounded in time; None: taken. `message_id` is the same at every try.

        Raises NotSent when there was no answer.
        """
        ...
