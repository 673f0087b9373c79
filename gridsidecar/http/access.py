"""Who may ask what: tokens, hosts, and requests that a page of another origin makes a browser send. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

from msgspec import Struct

from gridsidecar.config.http import LOOPBACK_NAMES
from gridsidecar.http.problems import Problem

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Access(StrEnum):
    """What a route asks of its caller."""

    OPEN = "open"  # nothing: kubelet and Prometheus have no token, and call a pod by its address
    READ = "read"
    CHANGE = "change"


class Rules(Struct, frozen=True):
    """Who is let in."""

    token: bytes | None  # may do everything; without any token, everybody may
    read_token: bytes | None
    public_url: str | None  # where clients reach us besides loopback names and bare addresses

    @property
    def has_token(self) -> bool:
        return self.token is not None or self.read_token is not None

    def may_change(self, headers: Mapping[str, str]) -> bool:
        """Whether this caller, who was let in, may do more than read."""
        return not self.has_token or _same(_bearer(headers.get("authorization", "")), self.token)

    def check(self, access: Access, method: str, headers: Mapping[str, str]) -> None:
        """Raises the `Problem` that keeps this caller out. `headers` have lower-case names."""
        if access is Access.OPEN:
            return
        self._check_host(headers.get("host", ""))
        self._check_token(access, headers.get("authorization", ""))
        if method not in SAFE_METHODS:
            self._check_origin(headers)

    def _check_host(self, host: str) -> None:
        """A name that somebody else's server gives our address (DNS rebinding) is none of ours."""
        name = _name(host)
        public = self.public_url and urlsplit(self.public_url).hostname
        if name not in (*LOOPBACK_NAMES, public) and not _is_address(name):
            raise Problem(
                421,
                "unknown-host",
                f"This server is not known as {name or 'a host without a name'}; set http.public_url.",
            )

    def _check_token(self, access: Access, authorization: str) -> None:
        if not self.has_token:
            return
        token = _bearer(authorization)
        # Both are compared in any case: the time it takes must not tell which one was nearly right.
        may_change = _same(token, self.token)
        may_read = _same(token, self.read_token) or may_change
        if not may_read:
            problem = "is wrong" if token else "is missing: send it as Authorization: Bearer TOKEN"
            raise Problem(401, "token", f"The token {problem}.", headers={"WWW-Authenticate": "Bearer"})
        if access is Access.CHANGE and not may_change:
            raise Problem(403, "read-only-token", "This token may read only; what changes something needs http.token.")

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        """A page of another origin must not change anything by the browser of somebody who may."""
        site = headers.get("sec-fetch-site")
        if site is not None:
            allowed = site in ("same-origin", "none")
        else:
            origin = headers.get("origin")
            allowed = origin is None or self._is_ours(origin, headers.get("host", ""))
        if not allowed:
            raise Problem(403, "foreign-origin", "Pages of other origins may not change anything here.")

    def _is_ours(self, origin: str, host: str) -> bool:
        if self.public_url is not None and origin == _origin(self.public_url):
            return True
        return origin.partition("://")[2].lower() == host.lower() != ""


def _bearer(authorization: str) -> bytes:
    """Empty where there is none."""
    scheme, _, given = authorization.partition(" ")
    return given.strip().encode("utf-8", "replace") if scheme.lower() == "bearer" else b""


def _same(given: bytes, token: bytes | None) -> bool:
    return hmac.compare_digest(given, token or b"") and bool(token)


def _name(host: str) -> str:
    """The name in a Host header, without its port; empty where it cannot be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    """No name server is asked for such a one, so nobody else can have it mean us."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
