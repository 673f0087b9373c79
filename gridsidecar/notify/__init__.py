"""Notices about tasks for people: Feishu or Lark, a webhook, e-mail. At most one message an interval and channel."""
