"""The keys that a signing secret of Standard Webhooks stands for."""

from __future__ import annotations

import binascii
from base64 import b64decode

ENCODED = "whsec_"
VERSION = "v1,"  # as some senders show it in front


def signing_keys(secret: str) -> list[bytes]:
    """The key of each secret, separated by spaces: `whsec_` and base64, also behind `v1,`, or any other text.

    Raises ValueError when it is no base64.
    """
    return [_key(part) for part in secret.split()]


def _key(secret: str) -> bytes:
    encoded = secret.removeprefix(VERSION)
    if not encoded.startswith(ENCODED):
        return secret.encode()
    try:
        key = b64decode(encoded.removeprefix(ENCODED), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError(f"a signing secret that starts with {ENCODED} must go on in base64")
    return key
