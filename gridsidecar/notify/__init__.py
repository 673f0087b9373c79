"""Notices about tasks for people, best effort: a card in Feishu or Lark, a JSON object to a webhook, an e-mail."""

from gridsidecar.notify.notifier import Notifier, make_notifier
from gridsidecar.notify.wording import NoticeOrigin

__all__ = ["NoticeOrigin", "Notifier", "make_notifier"]
