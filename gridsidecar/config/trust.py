"""The authorities whose certificates are trusted where a configuration names none."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

# Where distributions keep them all in one file. The OpenSSL of this Python knows the place of its own distribution, but
# a bundle runs in images of others.
_PLACES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch
    "/etc/ssl/cert.pem",  # Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # newer ones
    "/etc/ssl/ca-bundle.pem",  # SUSE
)


def system_trust() -> ssl.SSLContext:
    """The authorities of this machine (or SSL_CERT_FILE, SSL_CERT_DIR); where it has none, those of certifi."""
    return stand_in() or ssl.create_default_context()


def stand_in() -> ssl.SSLContext | None:
    """None where OpenSSL's own default has authorities."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and os.listdir(paths.capath)):
        return None
    chosen = {"SSL_CERT_FILE", "SSL_CERT_DIR"} & set(os.environ)
    import certifi  # takes a while, and few ever get here

    there = () if chosen else (place for place in _PLACES if Path(place).is_file())
    return ssl.create_default_context(cafile=next(iter(there), certifi.where()))
