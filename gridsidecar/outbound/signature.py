"""Standard Webhooks: the headers that let a receiver know a request, its age and its sender."""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from datetime import datetime

ENCODED = "whsec_"


def signed_headers(secret: str | None, message_id: str, body: bytes, moment: datetime) -> dict[str, str]:
    """For exactly this body, sent at this moment. Several secrets, separated by spaces, give a signature each.

    Raises ValueError as `signing_keys` does.
    """
    timestamp = str(int(moment.timestamp()))
    headers = {"webhook-id": message_id, "webhook-timestamp": timestamp}
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [_signature(key, signed) for key in signing_keys(secret or "")]
    if signatures:
        headers["webhook-signature"] = " ".join(signatures)
    return headers


def signing_keys(secret: str) -> list[bytes]:
    """The key of each secret: `whsec_` and base64, or any other text. Raises ValueError when it is no base64."""
    return [_key(part) for part in secret.split()]


def _signature(key: bytes, signed: bytes) -> str:
    return f"v1,{b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


def _key(secret: str) -> bytes:
    if not secret.startswith(ENCODED):
        return secret.encode()
    try:
        return b64decode(secret.removeprefix(ENCODED), validate=True)
    except binascii.Error:
        raise ValueError(f"a signing secret that starts with {ENCODED} must go on in base64") from None
