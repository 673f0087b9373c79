"""Real servers that tests and benchmarks own: private processes in a temporary folder."""

from __future__ import annotations

import abc
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.quick_boot import quick_boot

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
RABBITMQ_SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the wrapper on the PATH drops the environment
CONTROL_TIMEOUT_S = 60.0
FOLDER_VARIABLE = "GRIDSIDECAR_TEST_SERVER_FOLDER"  # where servers keep their data; tests/run names memory there


class ServerFailed(Exception):
    """A server did not start or stop; the message ends with its log."""


def find_program(*names: str) -> str | None:
    return next((found for name in names if (found := shutil.which(name, path=SEARCH_PATH))), None)


def free_port(among: Sequence[int] = range(15_000, 32_000)) -> int:
    """A free port of 127.0.0.1 below the range of outgoing connections, so that a restarted server gets it again.

    It is this process's until it ends: a server binds it a while later, or again after a kill, and tests that run
    beside this one would find it free meanwhile.
    """
    while True:
        port = random.SystemRandom().choice(among)
        claim = socket.socket(socket.AF_UNIX)  # its abstract name goes with the process, however that ends
        with socket.socket() as probe:
            try:
                claim.bind(f"\0gridsidecar-test-port-{port}")
                probe.bind(("127.0.0.1", port))
            except OSError:
                claim.close()
                continue
        claim.detach()
        return port


def answers(port: int, greeting: bytes, host: str = "127.0.0.1") -> bool:
    """Whether a server at `port` replies to `greeting` (may be empty) with at least a byte."""
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            connection.sendall(greeting)
            return connection.recv(1) != b""
    except OSError:
        return False


def wait(until: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not until():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class Server(abc.ABC):
    """A server with an address; as a context manager it is started, and removed with its data at the end."""

    url: str

    @abc.abstractmethod
    def start(self) -> None:
        """Returns when connections are answered; ServerFailed after START_TIMEOUT_S seconds. Data and port persist."""

    @abc.abstractmethod
    def stop(self) -> None:
        """An orderly stop, waited for."""

    @abc.abstractmethod
    def kill(self) -> None:
        """SIGKILL, waited for."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the server in whatever state it is and removes its data."""

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LocalProcess:
    """A child in a group of its own, its output in a file; it is killed when we die, however that happens."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=cwd,
                start_new_session=True,
            )
        # The pipe closes when this process dies. A parent-death signal would follow the thread instead.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", 'read _; kill -s KILL -- "-$0"; rm -rf "$1"', str(self._child.pid), str(cwd)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._child.pid

    def is_running(self) -> bool:
        return self._child.poll() is None

    def end(self, signal_number: signal.Signals) -> None:
        """Signals and waits; ServerFailed if it is still there after STOP_TIMEOUT_S seconds."""
        self._dismiss_guard()
        if self.is_running():
            self._child.send_signal(signal_number)
        try:
            self._child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._kill_group()
            self._child.wait(STOP_TIMEOUT_S)
            raise ServerFailed(f"did not stop within {STOP_TIMEOUT_S} s\n{self.tail()}") from None
        self._kill_group()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)

    def _dismiss_guard(self) -> None:
        self._guard.kill()
        self._guard.wait()
        if self._guard.stdin is not None:
            self._guard.stdin.close()

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


class LocalServer(Server):
    """A server started from this machine's binaries on private ports, with its data in a temporary folder."""

    greeting = b""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gs-", dir=os.environ.get(FOLDER_VARIABLE) or None))
        self.port = free_port()
        self.process: LocalProcess | None = None

    @abc.abstractmethod
    def _spawn(self) -> LocalProcess: ...

    def start(self) -> None:
        assert self.process is None, "already started"
        process = self.process = self._spawn()
        came_up = wait(lambda: not process.is_running() or answers(self.port, self.greeting), START_TIMEOUT_S)
        if not came_up or not process.is_running():
            reason = "ended at once" if came_up else f"did not answer within {START_TIMEOUT_S} s"
            self.kill()
            raise ServerFailed(f"{type(self).__name__} on port {self.port} {reason}; its log:\n{process.tail()}")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, signal_number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.end(signal_number)

    def close(self) -> None:
        try:
            self.kill()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


class RabbitMQ(LocalServer):
    """A private RabbitMQ; `conf` are lines for rabbitmq.conf, `plugins` are switched on.

    A queue declared in the second before `kill` may be gone afterwards: RabbitMQ writes definitions late.
    """

    greeting = b"AMQP\x00\x00\x09\x01"

    def __init__(self, conf: Sequence[str] = (), plugins: Sequence[str] = ()) -> None:
        super().__init__()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"
        self.name_port = free_port()
        self.names: LocalProcess | None = None
        (self.folder / "rabbitmq.conf").write_text("\n".join(["log.console = true", *conf, ""]))
        (self.folder / "plugins").write_text(f"[{','.join(plugins)}].\n")
        self._has_plugins = bool(plugins)

    @staticmethod
    def is_here() -> bool:
        return RABBITMQ_SCRIPT.exists() and find_program("epmd") is not None

    def _environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return os.environ | {
            "HOME": folder,  # the cookie
            "RABBITMQ_NODENAME": f"gs{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/no-environment-file",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            # Otherwise a channel looks only once a minute for messages that are held too long.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}"
            " -rabbit channel_tick_interval 500",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the server instead of watching over it
            "ERL_EPMD_PORT": str(self.name_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def _spawn(self) -> LocalProcess:
        environment = self._environment()
        if self.names is None:  # or RabbitMQ would start a name server that outlives it
            epmd = find_program("epmd")
            assert epmd is not None
            self.names = LocalProcess([epmd], environment, self.folder, self.folder / "epmd.log")
            wait(lambda: answers(self.name_port, b"\x00\x01n"), START_TIMEOUT_S)
        if not self._has_plugins:
            environment |= quick_boot(self.folder)
        return LocalProcess([str(RABBITMQ_SCRIPT)], environment, self.folder, self.folder / "server.log")

    def control(self, *words: str) -> str:
        """What `rabbitmqctl` prints: `control("set_vm_memory_high_watermark", "0.4")`."""
        answer = subprocess.run(
            [str(RABBITMQ_SCRIPT.with_name("rabbitmqctl")), "--node", f"gs{self.port}@localhost", "--quiet", *words],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=CONTROL_TIMEOUT_S,
        )
        if answer.returncode != 0:
            raise ServerFailed(f"rabbitmqctl {words[0]}:\n{answer.stdout}{answer.stderr}"[-4000:])
        return answer.stdout

    def close(self) -> None:
        names, self.names = self.names, None
        try:
            if names is not None:
                names.end(signal.SIGKILL)
        finally:
            super().close()


class MySQL(LocalServer):
    """A private MariaDB or MySQL, whichever is installed, durable as it comes; `options` are for the server."""

    def __init__(self, options: Sequence[str] = ()) -> None:
        super().__init__()
        self.url = f"mysql://root@127.0.0.1:{self.port}/"
        self._options = options

    @staticmethod
    def is_here() -> bool:
        return find_program("mariadbd", "mysqld") is not None

    @property
    def tmpdir(self) -> Path:
        return self.folder / "tmp"

    def _spawn(self) -> LocalProcess:
        program = find_program("mariadbd", "mysqld")
        assert program is not None
        is_mariadb = "MariaDB" in subprocess.run([program, "--version"], capture_output=True, text=True).stdout
        data = self.folder / "data"
        self.tmpdir.mkdir(exist_ok=True)
        account = ["--user=root"] if os.geteuid() == 0 else []
        if not data.exists():
            self._create_data(
                _mariadb_creation() if is_mariadb else [program, "--no-defaults", "--initialize-insecure"], account
            )
        own = [] if is_mariadb else ["--mysqlx=OFF", "--secure-file-priv=NULL"]
        command = [
            program,
            "--no-defaults",
            *account,
            f"--datadir={data}",
            f"--socket={self.folder}/s",
            f"--port={self.port}",
            f"--tmpdir={self.tmpdir}",  # as it starts, it deletes what it takes for its own temporary tables there
        ]
        command += [
            "--bind-address=127.0.0.1",
            f"--pid-file={self.folder}/pid",
            "--max-connections=500",
            *own,
            *self._options,
        ]
        return LocalProcess(command, os.environ, self.folder, self.folder / "server.log")

    def _create_data(self, command: Sequence[str], account: Sequence[str]) -> None:
        answer = subprocess.run(
            [*command, *account, f"--datadir={self.folder}/data"],
            env=os.environ | {"TMPDIR": str(self.folder)},  # two that are made at once take the same names there
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
        )
        if answer.returncode != 0:
            raise ServerFailed(f"{command[0]} could not create a database:\n{answer.stdout}{answer.stderr}"[-4000:])


def _mariadb_creation() -> list[str]:
    program = find_program("mariadb-install-db", "mysql_install_db")
    if program is None:
        raise ServerFailed("mariadbd is here without mariadb-install-db; install mariadb-server as a whole")
    return [program, "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]
