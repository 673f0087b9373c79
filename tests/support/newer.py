"""Newer servers than this machine's: Debian's next release in a folder of its own, each server in a chroot.

Every server gets a mount namespace of its own, so what it needs mounted is gone with its last process, however that
ends. Needs root and debootstrap; the folder is made once, then kept in the cache folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.support import servers
from tests.support.debian import bootstrap, install
from tests.support.servers import LocalProcess, ServerFailed, answers, wait

VARIABLE = "GRIDSIDECAR_TEST_NEWER_SERVERS"  # not empty: private servers are newer ones
SUITE = "sid"
PACKAGES = "mysql-server-core,rabbitmq-server"
EPMD, MYSQLD = "/usr/bin/epmd", "/usr/sbin/mysqld"
RABBITMQCTL = "/usr/lib/rabbitmq/bin/rabbitmqctl"

# $1: the root, $2: the server's folder, which has the same path inside; the rest is the command.
ENTER = """
set -e
root=$1 folder=$2; shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root$folder"
mount --bind "$folder" "$root$folder"
exec chroot "$root" "$@"
"""


def wanted() -> bool:
    return bool(os.environ.get(VARIABLE))


@cache
def root() -> Path:
    """The folder with the servers, made when it is missing."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gridsidecar-tests"
    place = caches / f"{SUITE}-{hashlib.sha256(PACKAGES.encode()).hexdigest()[:8]}"
    caches.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _make(place)
    return place


def _make(place: Path) -> None:
    if os.geteuid() != 0:
        raise ServerFailed("newer servers run in a chroot, which takes root")
    install("debootstrap")
    new = place.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    bootstrap(SUITE, PACKAGES, new)
    (new / "etc/hosts").write_text("127.0.0.1 localhost\n")
    new.rename(place)


def _inside(folder: Path, command: Sequence[str]) -> list[str]:
    """The words that run `command` in the root, with `folder` at hand."""
    return ["unshare", "--mount", "sh", "-c", ENTER, "enter", str(root()), str(folder), *command]


class NewerRabbitMQ(servers.RabbitMQ):
    """A private RabbitMQ of the newer release."""

    def _spawn(self) -> LocalProcess:
        environment = self._environment()
        if self.names is None:
            self.names = self._process([EPMD], environment, "epmd.log")
            wait(lambda: answers(self.name_port, b"\x00\x01n"), servers.START_TIMEOUT_S)
        return self._process([str(servers.RABBITMQ_SCRIPT)], environment, "server.log")

    def _process(self, command: Sequence[str], environment: Mapping[str, str], log: str) -> LocalProcess:
        return LocalProcess(_inside(self.folder, command), environment, self.folder, self.folder / log)

    def control(self, *arguments: str) -> str:
        """What `rabbitmqctl` prints."""
        command = _inside(self.folder, [RABBITMQCTL, "--quiet", *arguments])
        answer = subprocess.run(command, env=self._environment(), capture_output=True, text=True)
        if answer.returncode != 0:
            raise ServerFailed(f"rabbitmqctl {' '.join(arguments)}:\n{answer.stdout}{answer.stderr}")
        return answer.stdout


class NewerMySQL(servers.MySQL):
    """A private MySQL of the newer release."""

    def _spawn(self) -> LocalProcess:
        data = self.folder / "data"
        self.tmpdir.mkdir(exist_ok=True)
        if not data.exists():
            self._create_data(_inside(self.folder, [MYSQLD, "--no-defaults", "--initialize-insecure"]), ["--user=root"])
        command = [
            *(MYSQLD, "--no-defaults", "--user=root", "--bind-address=127.0.0.1", f"--port={self.port}"),
            *(f"--datadir={data}", f"--socket={self.folder}/s", f"--pid-file={self.folder}/pid"),
            *(f"--tmpdir={self.tmpdir}", "--mysqlx=OFF", "--secure-file-priv=NULL", "--max-connections=500"),
            *self._options,
        ]
        return LocalProcess(_inside(self.folder, command), os.environ, self.folder, self.folder / "server.log")
