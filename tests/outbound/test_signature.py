"""Signatures as Standard Webhooks has them."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from datetime import UTC, datetime

import pytest

from gridsidecar.config.signing_keys import signing_keys
from gridsidecar.outbound import signed_headers

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC)
TIMESTAMP = "1767323045"


def computed(key: bytes, body: bytes) -> str:
    """The same by other means."""
    signed = hmac.new(key, b"cb_1." + TIMESTAMP.encode() + b"." + body, hashlib.sha256)
    return "v1," + b64encode(signed.digest()).decode()


def test_the_published_example() -> None:
    headers = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        datetime.fromtimestamp(1614265330, UTC),
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("secret", [None, "", " "])
def test_without_a_secret_there_is_no_signature(secret: str | None) -> None:
    assert signed_headers(secret, "cb_1", b"{}", MOMENT) == {"webhook-id": "cb_1", "webhook-timestamp": TIMESTAMP}


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
        ("v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
        ("v1,plain", b"v1,plain"),
        ("plain", b"plain"),
        ("schlüssel", "schlüssel".encode()),
        ("WHSEC_x", b"WHSEC_x"),
    ],
)
def test_a_secret_is_base64_or_any_text(secret: str, key: bytes) -> None:
    body = b'{"a": "\xc3\xa4"}\x00'
    assert signed_headers(secret, "cb_1", body, MOMENT)["webhook-signature"] == computed(key, body)


def test_two_secrets_give_two_signatures_while_keys_change() -> None:
    signature = signed_headers("new  whsec_b2xk ", "cb_1", b"{}", MOMENT)["webhook-signature"]
    assert signature == f"{computed(b'new', b'{}')} {computed(b'old', b'{}')}"


@pytest.mark.parametrize("secret", ["whsec_***", "v1,whsec_***", "whsec_", "whsec_abc", "fine whsec_a=b"])
def test_a_secret_that_cannot_be_decoded_is_told_without_showing_it(secret: str) -> None:
    with pytest.raises(ValueError, match=r"^a signing secret that starts with whsec_ must go on in base64$"):
        signing_keys(secret)
