"""What is to be deployed: a configuration, and how its user wants it."""

from __future__ import annotations

from msgspec import Struct

from gridsidecar.config.settings import Settings
from gridsidecar.manifests.source import Source
from gridsidecar.shutdown import longest_exit

BUNDLED = "/opt/gridsidecar/bin/gridsidecar"
SPARE = 10  # seconds beyond the longest way out


class Application(Struct, frozen=True, kw_only=True):
    """`secret` is the name of the Secret that has the values of `source.secrets`. `inject` is the image that brings the
    sidecar where `image` has none."""

    source: Source
    made_by: str
    name: str
    secret: str
    image: str = ""
    namespace: str | None = None
    pull_secrets: tuple[str, ...] = ()
    max_replicas: int = 10
    replicas: int | None = None  # without KEDA
    schedule: str = ""
    pdb: bool = False
    network_policy: bool = False
    inject: str | None = None

    @property
    def settings(self) -> Settings:
        return self.source.settings

    @property
    def grace(self) -> int:
        """Seconds from SIGTERM to SIGKILL."""
        return longest_exit(self.settings) + SPARE

    @property
    def program(self) -> str:
        """In the container."""
        return BUNDLED if self.inject else "gridsidecar"

    @property
    def http_port(self) -> int | None:
        """Where others than this machine can connect."""
        http = self.settings.http
        return None if http.listen is None or http.local else http.address[1]
