"""What must never be printed: passwords in URLs, and values whose name says that they are secret."""

from __future__ import annotations

import re

HIDDEN = "***"
_SECRET_NAME = re.compile(r"secret|token|passw|pwd|credential|api_?key|private_?key|access_?key|auth", re.IGNORECASE)
# Greedy up to the last @: a password with an unencoded / or @ must not be shown in part.
_LOGIN = re.compile(r"(://[^:/?#@\s]*:).*@", re.DOTALL)
_PARAMETER = re.compile(r"([?&][^=&\s]*(?:secret|token|passw|pwd|key)[^=&\s]*=)[^&\s]*", re.IGNORECASE)
_WEBHOOK = re.compile(r"(://[^/\s]+/(?:\S*/)?(?:hook|services)/)[^?#\s]+")  # of a chat: whoever has it may post


def is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def masked_text(text: str) -> str:
    """The text without the passwords of URLs in it, and without the keys of chat webhooks."""
    return _WEBHOOK.sub(rf"\1{HIDDEN}", _PARAMETER.sub(rf"\1{HIDDEN}", _LOGIN.sub(rf"\1{HIDDEN}@", text)))


def masked_value(name: str, value: object) -> object:
    """A value as it may be shown: hidden under a secret's name, its URLs masked."""
    if value is not None and value != "" and is_secret_name(name):
        return HIDDEN
    return masked_text(value) if isinstance(value, str) else value
