"""What must never be printed: of a URL the password, of a text whatever looks like a key."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from gridsidecar.config.tls import TLS_OPTIONS

HIDDEN = "***"
# Greedy up to the last @: a password with an unencoded / or @ must not be shown in part.
_LOGIN = re.compile(r"(://[^:/?#@\s]*:).*@", re.DOTALL)
_PARAMETER = re.compile(
    r"([?&;](?:[^=&\s]*(?:secret|token|passw|pwd|key|credential|auth|session|jwt|otp|sig|code|ticket|hash)[^=&\s]*"
    r"|sign|s|k|p|pw|pin)=)[^&\s]*",
    re.IGNORECASE,
)
_WEBHOOK = re.compile(r"(://[^/\s]+/(?:\S*/)?(?:hook|hooks|webhook|webhooks|services)/)[^?#\s]+")  # of a chat
_ANY_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
# Of a server's URL; whatever else stands there is hidden.
_PLAIN_OPTIONS = (*TLS_OPTIONS, "charset", "unix_socket", "autocommit", "connect_timeout", "heartbeat")
_SERVERS = ("amqp", "amqps", "mysql", "mysql+pymysql", "mysql+aiomysql")


def masked_text(text: str) -> str:
    """What somebody else wrote, without the passwords and keys of URLs in it, as far as they show."""
    return _WEBHOOK.sub(rf"\1{HIDDEN}", _PARAMETER.sub(rf"\1{HIDDEN}", _LOGIN.sub(rf"\1{HIDDEN}@", text)))


def masked_reason(text: str) -> str:
    """An error of ours, in which the addresses of a configuration may stand."""
    return _ANY_URL.sub(lambda found: masked_url(found[0]), text)


def masked_url(url: str) -> str:
    """A URL of a configuration: who and where, and of the rest what is known to be harmless. One that cannot be read is
    hidden whole: nobody knows where in it the password stands."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return HIDDEN
    if parts.scheme == "sqlite" and url.startswith("sqlite:///") and not parts.query + parts.fragment:
        return url
    if parts.scheme == "unix" and not parts.netloc + parts.query + parts.fragment:
        return url
    if not parts.netloc or "@" in parts.path + parts.query + parts.fragment or parts.fragment:
        return HIDDEN
    place = (f"[{host}]" if ":" in (host or "") else host or "") + (f":{port}" if port is not None else "")
    if parts.scheme in _SERVERS:
        options = "&".join(_option(option) for option in parts.query.split("&") if option)
        return f"{parts.scheme}://{_login(parts.netloc)}{place}{parts.path}{'?' if options else ''}{options}"
    login = f"{HIDDEN}@" if "@" in parts.netloc else ""  # an access key may stand in place of the user
    rest = "" if parts.path in ("", "/") and not parts.query else f"/{HIDDEN}"
    return f"{parts.scheme}://{login}{place}{rest or parts.path}"


def _login(netloc: str) -> str:
    login, at, _ = netloc.rpartition("@")
    user, colon, password = login.partition(":")
    return f"{user}{colon}{HIDDEN if password else ''}{at}"


def _option(option: str) -> str:
    name, equals, _ = option.partition("=")
    return option if name in _PLAIN_OPTIONS else f"{name}{equals}{HIDDEN}"
