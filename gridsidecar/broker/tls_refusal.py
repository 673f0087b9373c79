"""What TLS says where it comes to nothing, in words for people."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from gridsidecar.errors import AccessRefused

WANTED = "if it wants a client certificate, name one that it trusts by ssl_cert and ssl_key in broker.url"
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")

_ABOUT_US = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED", "DECRYPT_ERROR")


def tls_refusal(where: str, error: BaseException) -> AccessRefused | None:
    """None where the error is about something else."""
    for each in _causes(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            return AccessRefused(
                f"RabbitMQ at {where} shows a certificate that is not trusted: {each.verify_message}",
                "name its authority by ssl_ca in broker.url, or the host as the certificate does",
            )
        reason = str(each.reason or each) if isinstance(each, ssl.SSLError) else ""
        if any(word in reason for word in _NO_TLS):
            return AccessRefused(
                f"what answers at {where} speaks no TLS, but broker.url asks for it by amqps://",
                "name the port of its TLS listener, most often 5671",
            )
        if "ALERT" in reason and any(word in reason for word in _ABOUT_US):
            return AccessRefused(
                f"RabbitMQ at {where} ended the TLS connection ({reason.lower().replace('_', ' ')})", WANTED
            )
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
