"""The page: its files as browsers get them. They hold no data, so whoever reaches the server may have them."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath

from msgspec import Struct
from starlette.responses import Response

from gridsidecar.http.access import Access
from gridsidecar.http.api import Api
from gridsidecar.http.app import Endpoint
from gridsidecar.http.call import Call
from gridsidecar.http.problems import Problem

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
HEADERS = {
    "Cache-Control": "no-cache",  # asked for again each time, and answered with 304
    # Nothing from elsewhere, no code in the page, and no text that becomes code or markup.
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


class File(Struct, frozen=True):
    """One file, and the same compressed."""

    kind: str
    tag: str
    plain: bytes
    packed: bytes


@cache
def page_files() -> dict[str, File]:
    """Every file by its path below the page's folder; read when the first browser asks."""
    root = files("gridsidecar.http") / "page"
    folders = {"": root, "vendor/": root / "vendor"}
    return {
        f"{folder}{entry.name}": _file(entry.name, entry.read_bytes())
        for folder, place in folders.items()
        for entry in place.iterdir()
        if entry.is_file() and PurePosixPath(entry.name).suffix in TYPES
    }


def _file(name: str, content: bytes) -> File:
    tag = hashlib.sha256(content).hexdigest()[:24]
    return File(TYPES[PurePosixPath(name).suffix], tag, content, gzip.compress(content, 9, mtime=0))


async def index(api: Api, call: Call) -> Response:
    return _answer(call, "index.html")


async def file(api: Api, call: Call) -> Response:
    return _answer(call, call.path("name"))


async def vendored(api: Api, call: Call) -> Response:
    return _answer(call, f"vendor/{call.path('name')}")


def _answer(call: Call, name: str) -> Response:
    found = page_files().get(name)
    if found is None:
        raise Problem(404, "unknown-path", f"The page has no file {name}.")
    headers = call.request.headers
    packed = "gzip" in headers.get("accept-encoding", "")
    tag = f'"{found.tag}{"-gz" if packed else ""}"'
    if tag in headers.get("if-none-match", ""):
        return Response(status_code=304, headers={**HEADERS, "ETag": tag})
    encoding = {"Content-Encoding": "gzip"} if packed else {}
    return Response(
        found.packed if packed else found.plain,
        headers={**HEADERS, **encoding, "ETag": tag, "Content-Type": found.kind},
    )


ENDPOINTS = (
    Endpoint("GET", "/", Access.OPEN, index),
    Endpoint("GET", "/page/{name}", Access.OPEN, file),
    Endpoint("GET", "/page/vendor/{name}", Access.OPEN, vendored),
)
