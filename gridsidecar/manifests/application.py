"""What is to be deployed: a configuration, and how its user wants it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from gridsidecar.config.handler_url import read_handler_url
from gridsidecar.config.http import LOOPBACK_NAMES
from gridsidecar.config.settings import Settings
from gridsidecar.manifests.source import Source
from gridsidecar.runtime.shutdown import longest_exit

_PORTS = {  # of a URL that names none, or that only the pods will know
    "amqp": (5671, 5672),
    "amqps": (5671,),
    "mysql": (3306,),
    "http": (15672,),
    "https": (15671, 15672),
    "smtp": (25, 587),
    "smtps": (465,),
}
BUNDLED = "/opt/gridsidecar/bin/gridsidecar"
SPARE = 10  # seconds beyond the longest way out
WRITABLE = "/tmp"  # noqa: S108  # the one folder of a pod that is
HEARTBEAT = f"{WRITABLE}/gridsidecar.health"
HEARTBEAT_FILE = "GRID_ASYNC_TASK_HEARTBEAT_FILE"


class Application(Struct, frozen=True, kw_only=True):
    """`secret` is the name of the Secret that has the values of `source.secrets`. `inject` is the image that brings the
    sidecar where `image` has none; `container` is the image of a container of its own, whose handlers are servers in
    that of `image`. `installed` is the program on this machine."""

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
    container: str | None = None
    installed: str = BUNDLED

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
        return BUNDLED if self.inject or self.container else "gridsidecar"

    @property
    def heartbeat(self) -> str:
        """The file that probes read."""
        return self.settings.worker.heartbeat_file or HEARTBEAT

    @property
    def own_variables(self) -> dict[str, str]:
        """What only containers need, and the configuration leaves open."""
        return {} if self.settings.worker.heartbeat_file else {HEARTBEAT_FILE: HEARTBEAT}

    @property
    def state(self) -> Path:
        """The folder of a unit."""
        return Path("/var/lib") / self.name

    def kept(self, url: str) -> str:
        """The SQLite file of this URL where a unit may write."""
        path = Path(urlsplit(url).path[1:])
        return f"sqlite:///{path if path.is_relative_to(self.state) else self.state / (path.name or 'tasks.db')}"

    @property
    def sockets(self) -> tuple[str, ...]:
        """Folders of the Unix sockets through which handlers are asked."""
        urls = [handler.url for handler in self.settings.handlers.values() if handler.url is not None]
        files = [file for url in urls if (file := read_handler_url(url).socket) is not None]
        return tuple(dict.fromkeys(str(Path(file).parent) for file in files))

    @property
    def http_port(self) -> int | None:
        """Where others than this machine can connect."""
        http = self.settings.http
        return None if http.listen is None or http.local else http.address[1]

    @property
    def server_ports(self) -> tuple[int, ...]:
        """Those of broker, database, mail and handlers, as far as the configuration says."""
        settings = self.settings
        mails = [channel.smtp_url for channel in settings.notify if channel.smtp_url]
        urls = [*settings.broker.urls, settings.broker.management_url, settings.store.url, *mails]
        ports = [port for url in urls if url is not None for port in _ports_of(url)]
        elsewhere = [handler.url for handler in settings.handlers.values() if handler.url and not is_local(handler.url)]
        ports += [port for url in elsewhere if (port := urlsplit(url).port) is not None]
        return tuple(dict.fromkeys(ports))


def is_local(url: str) -> bool:
    """Whether the server of a handler is in the same pod."""
    where = read_handler_url(url)
    return where.socket is not None or urlsplit(where.http).hostname in LOOPBACK_NAMES


def _ports_of(url: str) -> tuple[int, ...]:
    parts = urlsplit(url)
    return (parts.port,) if parts.port else _PORTS[parts.scheme.partition("+")[0]]
