"""A real server in a Docker container."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from tests.support.servers import START_TIMEOUT_S, Server, ServerFailed, answers, free_port, wait


class Container(Server):
    """A server in a Docker container on one port of this machine."""

    def __init__(self, image: str, inner_port: int, url: str, greeting: bytes, environment: Mapping[str, str]) -> None:
        """`url` has the place {address}, filled with host:port."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's deprecations
            from testcontainers.core.container import DockerContainer
        self._port = free_port()
        self._container = DockerContainer(image).with_bind_ports(inner_port, self._port)
        for name, value in environment.items():
            self._container = self._container.with_env(name, value)
        self._image, self._url, self._greeting, self._created = image, url, greeting, False

    @property
    def _engine(self) -> Any:
        return self._container.get_wrapped_container()

    def start(self) -> None:
        if self._created:
            self._engine.start()
        else:
            self._created = True
            self._container.start()
        host = self._container.get_container_host_ip()
        self.url = self._url.format(address=f"{host}:{self._port}")
        if not wait(lambda: answers(self._port, self._greeting, host), START_TIMEOUT_S):
            log = self._engine.logs(tail=50).decode(errors="replace")
            raise ServerFailed(f"container {self._image} did not answer within {START_TIMEOUT_S} s; its log:\n{log}")

    def stop(self) -> None:
        self._engine.stop()

    def kill(self) -> None:
        self._engine.kill()

    def close(self) -> None:
        try:
            if self._created:
                self._container.stop()
        finally:
            self._container.get_docker_client().client.close()
