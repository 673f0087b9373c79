"""Standard Webhooks: the headers that let a receiver know a request, its age and its sender."""

from __future__ import annotations

import hmac
from base64 import b64encode
from datetime import datetime

from gridsidecar.config.signing_keys import signing_keys


def signed_headers(secret: str | None, message_id: str, body: bytes, moment: datetime) -> dict[str, str]:
    """For exactly this body, sent at this moment. Several secrets, separated by spaces, give a signature each.

    Raises ValueError as `gridsidecar.config.signing_keys` does.
    """
    timestamp = str(int(moment.timestamp()))
    headers = {"webhook-id": message_id, "webhook-timestamp": timestamp}
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [_signature(key, signed) for key in signing_keys(secret or "")]
    if signatures:
        headers["webhook-signature"] = " ".join(signatures)
    return headers


def _signature(key: bytes, signed: bytes) -> str:
    return f"v1,{b64encode(hmac.digest(key, signed, 'sha256')).decode()}"
