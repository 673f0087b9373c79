"""The URL of a handler that is a server: by TCP, or through a Unix socket."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from msgspec import Struct

SHAPES = "http://127.0.0.1:8000/path, https://… or unix:///path/of.sock, with :/path behind it where that is not /"
LONGEST_SOCKET = 107  # bytes of its path: what the system takes

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
_SOCKET = re.compile(r"unix://(/[^:?#]+)(?::(/[^#]*))?")


class HandlerUrl(Struct, frozen=True):
    """Where a task is posted to: `socket` is the path of a Unix socket, None for TCP."""

    http: str  # the URL without the socket
    socket: str | None


def read_handler_url(url: str) -> HandlerUrl:
    """Raises ValueError, in words."""
    if url.startswith("unix:"):
        return _through_socket(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"cannot be read: write {SHAPES}; a port is 1 – 65535") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ValueError(f"must be {SHAPES}")
    if _HOST.fullmatch(host) is None or len(host) > 253:
        raise ValueError("names a host that is no host name")
    return HandlerUrl(url, None)


def _through_socket(url: str) -> HandlerUrl:
    found = _SOCKET.fullmatch(url)
    if found is None or "\0" in url:
        raise ValueError("must be unix:///path/of.sock, or unix:///path/of.sock:/path")
    if len(found[1].encode("utf-8", "surrogatepass")) > LONGEST_SOCKET:
        raise ValueError(f"names a socket whose path has more than {LONGEST_SOCKET} bytes: no system takes that")
    return HandlerUrl(f"http://localhost{found[2] or '/'}", found[1])
