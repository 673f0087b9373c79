"""Notices about tasks for people, best effort: a card in Feishu or Lark, a JSON object to a webhook, an e-mail."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gridsidecar.notify.notifier import Notifier
from gridsidecar.notify.rendering import NoticeOrigin

if TYPE_CHECKING:
    from gridsidecar.clock import Clock
    from gridsidecar.config.notices import NoticeSettings

__all__ = ["NoticeOrigin", "Notifier", "make_notifier"]


def make_notifier(
    channels: Sequence[NoticeSettings], origin: NoticeOrigin, language: str, clock: Clock, rng: random.Random
) -> Notifier:
    """What tells all channels of the configuration; nothing runs before the first notice."""
    if not channels:
        return Notifier([])
    from gridsidecar.notify.factory import notifier_of

    return notifier_of(channels, origin, language, clock, rng)
