"""The settings of the HTTP API, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import Field

from gridsidecar.config.section import Section
from gridsidecar.config.yaml_tree import KeyPath

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
POOL = 4  # connections of the API to the database, where store.pool_size is not less
SHORTEST_TOKEN = 16  # characters
_TOKEN = re.compile(r"[\x21-\x7e]*")  # what a header can carry without quotes


class HttpSettings(Section):
    """The HTTP API: tasks, health, metrics."""

    listen: str | None = Field(
        default=None, description="host:port, [::1]:port, or :port for every address; null = no server."
    )
    token: str | None = Field(
        default=None,
        description="Bearer token that may read and change; off loopback this one or read_token is required.",
    )
    token_file: str | None = Field(default=None, description="The file that holds it, in place of token.")
    read_token: str | None = Field(default=None, description="Bearer token that may only read.")
    read_token_file: str | None = Field(default=None, description="The file that holds it, in place of read_token.")
    public_url: str | None = Field(
        default=None,
        description="The address under which clients know the server, where that is no loopback name: its host is "
        "accepted, and so is its origin.",
    )
    base_path: str = Field(default="", description="Path below which a proxy shows the server, such as /gridsidecar.")
    hide: list[str] = Field(
        default=[],
        description="Names whose values are left out of data, results and logs in answers; * is any characters.",
    )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`; an empty host is every address. ValueError where it names none."""
        host, colon, port = (self.listen or "").rpartition(":")
        if not colon or not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535:
            raise ValueError("must end in a port, as in 127.0.0.1:8080 or :8080")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if ":" in bare and bare == host:
            raise ValueError("an IPv6 address stands in brackets, as in [::1]:8080")
        return bare, int(port)

    @property
    def local(self) -> bool:
        """Only this machine can connect."""
        host, _ = self.address
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def has_token(self) -> bool:
        return any((self.token, self.token_file, self.read_token, self.read_token_file))


def http_problems(http: HttpSettings) -> Iterator[tuple[KeyPath, str]]:
    """Every key that cannot work, and why."""
    if http.listen is not None:
        try:
            if not http.local and not http.has_token:
                yield (
                    ("http", "token"),
                    "is required where others than this machine can connect; or set http.read_token",
                )
        except ValueError as error:
            yield ("http", "listen"), str(error)
    for name in ("token", "read_token"):
        token = getattr(http, name)
        if token is not None and (len(token) < SHORTEST_TOKEN or not _TOKEN.fullmatch(token)):
            yield ("http", name), f"must have {SHORTEST_TOKEN} or more visible ASCII characters"
        if token is not None and getattr(http, f"{name}_file") is not None:
            yield ("http", f"{name}_file"), f"and http.{name} exclude each other"
    if http.token is not None and http.token == http.read_token:
        yield ("http", "read_token"), "must not be http.token: it may read only"
    if http.public_url is not None and not _is_origin(http.public_url):
        yield ("http", "public_url"), "must be http:// or https:// and a host, as in https://tasks.example.com"
    if http.base_path and not re.fullmatch(r"(/[\w.~-]+)+", http.base_path, re.ASCII):
        yield ("http", "base_path"), "must start with / and not end with it, as in /gridsidecar"


def _is_origin(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
