"""Clusters from this machine's binaries: three RabbitMQ nodes, a HAProxy in front of them, three Galera nodes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pymysql

from tests.support.debian import install
from tests.support.servers import (
    LocalProcess,
    LocalServer,
    MySQL,
    RabbitMQ,
    ServerFailed,
    find_program,
    free_port,
    wait,
)

NODES = 3
SYNC_TIMEOUT_S = 120.0
PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")


def prepare() -> None:
    """What Debian has and this machine lacks."""
    wanted = {"haproxy": find_program("haproxy"), "mariadb-backup": find_program("mariadb-backup")}
    missing = [name for name, found in wanted.items() if found is None]
    missing += [] if PROVIDER.exists() else ["galera-4"]
    if missing:
        install(*missing)


class RabbitNode(RabbitMQ):
    """One node: it has the cookie and the name server of the first, and joins it when it starts empty."""

    def __init__(self, first: RabbitNode | None) -> None:
        self._first = first
        joining = (
            []
            if first is None
            else [
                "cluster_formation.peer_discovery_backend = classic_config",
                f"cluster_formation.classic_config.nodes.1 = gs{first.port}@localhost",
            ]
        )
        super().__init__(joining)

    def _environment(self) -> dict[str, str]:
        first = self._first
        own = super()._environment()
        return own if first is None else own | {"HOME": str(first.folder), "ERL_EPMD_PORT": str(first.name_port)}

    def _spawn(self) -> LocalProcess:
        if self._first is not None:
            self.names = self._first.names  # only looked at
        return super()._spawn()

    def close(self) -> None:
        if self._first is not None:
            self.names = None
        super().close()

    def in_sync(self) -> bool:
        """Whether all nodes run, and no queue would lose its majority with this one."""
        try:
            self.control("await_online_nodes", str(NODES))
        except ServerFailed:
            return False
        return True


@contextmanager
def rabbitmq_cluster() -> Iterator[list[RabbitNode]]:
    with ExitStack() as stack:
        nodes = [stack.enter_context(RabbitNode(None))]
        for _ in range(NODES - 1):
            nodes.append(stack.enter_context(RabbitNode(nodes[0])))
        nodes[0].control("await_online_nodes", str(NODES))
        yield nodes


class HAProxy(LocalServer):
    """One address in front of several servers: connections go to those that answer, in turn."""

    def __init__(self, ports: Sequence[int]) -> None:
        super().__init__()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"
        servers = "\n".join(
            f"  server node{port} 127.0.0.1:{port} check inter 500ms fall 2 rise 2 on-marked-down shutdown-sessions"
            for port in ports
        )
        (self.folder / "haproxy.cfg").write_text(
            "defaults\n  mode tcp\n  timeout connect 3s\n  timeout client 1h\n  timeout server 1h\n"
            f"listen amqp\n  bind 127.0.0.1:{self.port}\n  balance roundrobin\n{servers}\n"
        )

    greeting = b"AMQP\x00\x00\x09\x01"

    def _spawn(self) -> LocalProcess:
        program = find_program("haproxy")
        assert program is not None
        command = [program, "-db", "-f", str(self.folder / "haproxy.cfg")]
        return LocalProcess(command, {}, self.folder, self.folder / "server.log")


class GaleraNode(MySQL):
    """One node; the first founds the cluster, and whoever comes later or again takes its state from another."""

    def __init__(self, sync_port: int, all_sync_ports: Sequence[int], *, first: bool) -> None:
        address = ",".join(f"127.0.0.1:{port}" for port in all_sync_ports)
        super().__init__()
        self._founds = first
        self._cluster = [
            "--wsrep-on=ON",
            f"--wsrep-provider={PROVIDER}",
            "--wsrep-cluster-name=gs",
            f"--wsrep-cluster-address=gcomm://{address}",
            f"--wsrep-node-address=127.0.0.1:{sync_port}",
            f"--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{sync_port};"
            f"ist.recv_addr=127.0.0.1:{free_port()};gcache.size=32M;pc.recovery=false",
            "--wsrep-sst-method=mariabackup",
            "--wsrep-sst-auth=root:",
            f"--wsrep-sst-receive-address=127.0.0.1:{free_port()}",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
            "--innodb-flush-log-at-trx-commit=2",
        ]

    def _spawn(self) -> LocalProcess:
        self._options = [*self._cluster, *(["--wsrep-new-cluster"] if self._founds else [])]
        self._founds = False
        return super()._spawn()

    def start(self) -> None:
        super().start()
        if not wait(self.in_sync, SYNC_TIMEOUT_S):
            raise ServerFailed(f"a Galera node did not come into step:\n{self.process.tail() if self.process else ''}")

    def in_sync(self) -> bool:
        try:
            session = pymysql.connect(host="127.0.0.1", port=self.port, user="root", connect_timeout=2)
            with closing(session), session.cursor() as cursor:
                cursor.execute("show status like 'wsrep_local_state_comment'")
                return [row[1] for row in cursor.fetchall()] == ["Synced"]
        except pymysql.MySQLError:
            return False


@contextmanager
def galera_cluster() -> Iterator[list[GaleraNode]]:
    ports = [free_port() for _ in range(NODES)]
    with ExitStack() as stack:
        yield [stack.enter_context(GaleraNode(port, ports, first=index == 0)) for index, port in enumerate(ports)]


@contextmanager
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="gs-cluster-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
