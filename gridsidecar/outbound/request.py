"""From a URL, headers and a body to what is sent."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from yarl import URL

from gridsidecar import __version__
from gridsidecar.outbound.reply import TargetRefused

# What no URL has, by its standard; the rest is sent as it was given, or a signature of somebody else's would not hold.
_NEVER_SENT = re.compile(r"[^A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]")
_BEHIND_THE_HOST = re.compile(r"://[^/?#]*([^#]*)")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`host` is ASCII, as it goes to the resolver; `path` has the query."""

    method: str
    secure: bool
    host: str
    port: int
    path: str = field(repr=False)  # what an error must not tell: it may hold a key
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def where(self) -> str:
        return f"{_bracketed(self.host)}:{self.port}"


def read_request(url: str, body: bytes | None, headers: Mapping[str, str]) -> Request:
    """What to send; without a body a GET. A user and password in the URL become Basic authentication. Raises
    TargetRefused.
    """
    target = _read(url)
    assert target.raw_host is not None  # read
    assert target.port is not None
    host = _bracketed(target.raw_host.removesuffix("."))
    own = {
        "host": host if target.is_default_port() else f"{host}:{target.port}",
        "user-agent": f"gridsidecar/{__version__}",
        "accept": "*/*",
        "accept-encoding": "identity",  # the start of a packed body is no text
    }
    if body is not None:
        own["content-length"] = str(len(body))
    if target.user is not None:
        login = f"{target.user}:{target.password or ''}"
        own["authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    return Request(
        method="GET" if body is None else "POST",
        secure=target.scheme == "https",
        host=target.raw_host,
        port=target.port,
        path=_path(url),
        headers=own | {name.lower(): value for name, value in headers.items()},
        body=body or b"",
    )


def _read(url: str) -> URL:
    try:
        target = URL(url)
    except (ValueError, IndexError):  # its text may quote the URL; the second is how the library meets `][`
        raise TargetRefused("the URL cannot be read: write http://host/path or https://host/path") from None
    if target.scheme not in ("http", "https"):
        raise TargetRefused(f"the URL must start with http:// or https://, not with {target.scheme[:20]!r}")
    if not target.raw_host:
        raise TargetRefused(f"the URL names no host: write {target.scheme}://host/path")
    if _HOST.fullmatch(target.raw_host) is None or len(target.raw_host) > 253:
        raise TargetRefused(f"the URL's host is no host name: {target.raw_host[:60]!r}")
    return target


def _path(url: str) -> str:
    """Path and query of a URL that can be read."""
    found = _BEHIND_THE_HOST.search(url)
    path = _NEVER_SENT.sub(lambda unsent: quote(unsent[0], safe=""), found[1]) if found else ""
    return path if path.startswith("/") else f"/{path}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
