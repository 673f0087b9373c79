"""One MySQL session: encrypted when asked, never sends a password in clear, and answers within a time limit."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import Any

import aiomysql
import pymysql.err
from pymysql.constants import CLIENT, CR

from gridsidecar import telemetry
from gridsidecar.config.mysql_url import MySQLAddress
from gridsidecar.errors import AccessRefused, StoreUnavailable
from gridsidecar.store.database import Params, Statement
from gridsidecar.store.mysql import replies
from gridsidecar.store.mysql.errors import refusal
from gridsidecar.store.mysql.literal import LARGE, WRITERS, Literals
from gridsidecar.store.mysql.merging import merge, spread
from gridsidecar.store.queries import Query

CONNECT_TIMEOUT = 10.0  # seconds, for TCP, TLS and login together
REPLY_TIMEOUT = 30.0  # seconds for one statement or batch
# Seconds for a row that somebody holds. So short that who waits for it soon lets others have the connection.
LOCK_WAIT = 1
# The login asks for it, too, but a server may be told not to listen, or to set its own with init_connect afterwards.
_NAMES = "SET NAMES utf8mb4 COLLATE utf8mb4_general_ci"
# Limits on joins and what a COMMIT does besides may be set by a server, too, to what ends our work.
# The comment is for MySQL alone, which would round a time to the next second, where a column holds whole seconds.
_SESSION = (
    f"SET time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_WAIT}, sql_big_selects = 1, completion_type = 0, "
    "sql_mode = CONCAT("
    "'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO' /*!80001 , ',TIME_TRUNCATE_FRACTIONAL' */)"
)
_ISOLATION = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
_HEARD = ("character_set_client", "character_set_connection", "character_set_results")
_FULL_PACKET = 2**24 - 1  # bytes
_CLEAR = ("mysql_clear_password", "mysql_old_password", "dialog")


_warned: set[str] = set()  # that a password is not protected is told once in a process


class _GuardedConnection(aiomysql.Connection):  # type: ignore[misc]  # aiomysql has no types
    """aiomysql, minus three surprises: it falls back to clear text when a server offers no TLS although TLS was asked
    for, it sends the password in clear to any server that asks for it so, and encrypted by whatever key one sends."""

    _ssl_context: ssl.SSLContext | None
    _public_key: bytes | None
    tls_declined: bool = False
    tls_wanted: bool = False  # taken where it is offered

    @property
    def server_public_key(self) -> bytes | None:
        return self._public_key

    @server_public_key.setter
    def server_public_key(self, key: bytes | None) -> None:
        """Where aiomysql puts a key that came in clear, before it encrypts the password by it: without TLS nobody
        knows whose it is."""
        if key is not None:
            if self._ssl_context:
                raise AccessRefused(
                    f"the database server {self._host}:{self._port} asks for the password by a key that it sent in "
                    "clear, but ssl_mode asks for TLS",
                    "switch TLS on at the server",
                )
            self._warn_of_key()
        self._public_key = key

    def _warn_of_key(self) -> None:
        if not self.tls_declined and not _warned:
            _warned.add("key")
            telemetry.warning(
                "the database's password is not protected on its way",
                server=f"{self._host}:{self._port}",
                reason="without TLS the server sent the key to encrypt it by, and a false server could do the same",
                hint="add ssl_mode=verify_identity and ssl_ca to store.url, or ssl_mode=disabled where it is meant so",
            )

    async def _execute_command(self, command: int, sql: Any) -> None:
        """As it was, but a large statement is not copied to be sent: it leaves in pieces, as the server takes them."""
        if len(sql) < LARGE:
            await super()._execute_command(command, sql)
            return
        self._ensure_alive()
        self._result = None  # ours are read to their end
        data, rest = bytes((command,)), memoryview(sql)
        self._next_seq_id = 0
        while True:  # a packet that is full is followed by another one, which may be empty
            size = min(_FULL_PACKET, len(data) + len(rest))
            self._write_bytes(size.to_bytes(3, "little") + bytes((self._next_seq_id,)) + data)
            self._next_seq_id = (self._next_seq_id + 1) % 256
            last, data = size - len(data), b""
            for at in range(0, last, LARGE):
                self._write_bytes(bytes(rest[at : min(at + LARGE, last)]))
                await self._writer.drain()
            rest = rest[last:]
            if size < _FULL_PACKET:
                return

    async def _request_authentication(self) -> None:
        if not self.server_capabilities & CLIENT.SSL:
            self._go_on_without_tls()
        if not self._ssl_context and self._server_auth_plugin in _CLEAR:
            self._refuse_clear(self._server_auth_plugin)
        await super()._request_authentication()

    def _go_on_without_tls(self) -> None:
        if self._ssl_context and not self.tls_wanted:
            raise AccessRefused(
                f"the database server {self._host}:{self._port} offers no TLS, but ssl_mode or ssl_ca asks for it",
                "switch TLS on at the server. If it is on, something on the way strips it. Only on a network that "
                "you trust, set ssl_mode=disabled in store.url",
            )
        self._ssl_context = None

    async def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> Any:
        if not self._secure and plugin_name.decode("ascii", "replace") in _CLEAR:
            self._refuse_clear(plugin_name.decode("ascii", "replace"))
        return await super()._process_auth(plugin_name, auth_packet)

    def _refuse_clear(self, plugin: str) -> None:
        raise AccessRefused(
            f"the database server {self._host}:{self._port} asks for the password in clear ({plugin}) on a connection "
            "without TLS",
            "add ssl_mode=verify_identity and ssl_ca=FILE to store.url",
        )


def _as_latin1(password: str | None) -> str | None:
    """aiomysql writes passwords as Latin-1, servers and their own clients as UTF-8: text that becomes its bytes."""
    return password and password.encode().decode("latin-1")


class Session:
    """An open connection. Not safe for concurrent use."""

    def __init__(self, connection: Any, largest_packet: int, large_turn: asyncio.Lock) -> None:
        self._connection = connection
        self._large_turn = large_turn  # packets with large values are in memory one at a time
        self._largest_packet = largest_packet
        self.opened_at = asyncio.get_running_loop().time()
        self.used_at = self.opened_at

    @classmethod
    async def open(cls, address: MySQLAddress, large_turn: asyncio.Lock) -> Session:
        connection = _GuardedConnection(
            host=address.host,
            port=address.port,
            user=address.user,
            password=_as_latin1(address.password),
            db=address.database,
            unix_socket=address.unix_socket,
            charset="utf8mb4",
            ssl=_context(address),
            autocommit=True,
            program_name="gridsidecar",
        )
        connection.tls_declined = address.tls_declined
        connection.tls_wanted = address.tls is not None and address.tls.mode == "preferred"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await connection._connect()
                await replies.run(connection, f"{_NAMES}; {_SESSION}; {_ISOLATION}".encode())
                async with connection.cursor() as cursor:
                    await cursor.execute(f"SELECT @@max_allowed_packet, {', '.join(f'@@{name}' for name in _HEARD)}")
                    settings = await cursor.fetchone()
            if settings is None:
                raise AccessRefused(
                    f"what answers at {address.place} gives no rows, so it is no database", "correct store.url"
                )
            largest_packet, *heard = settings
            _check_heard(address, heard)
        except BaseException as error:
            connection.close()  # aiomysql leaves the socket open when it is cancelled in the middle of a login
            if refused := refusal(error, address.place):
                raise refused from error
            if _distrusted(address, error):
                raise StoreUnavailable(
                    f"the database {address.place} ended the connection during the login: it may not trust the "
                    "certificate in ssl_cert"
                ) from error
            raise
        return cls(connection, int(largest_packet), large_turn)

    @property
    def usable(self) -> bool:
        reader = self._connection._reader
        return not (self._connection.closed or reader.eof_received or reader.exception())

    async def execute(self, query: Query, params: Params) -> int:
        literals = Literals()
        return (await self._send(literals, query.render(params, literals.writers)))[0]

    async def execute_all(self, statements: Sequence[Statement]) -> list[int]:
        literals = Literals()
        return await self._send(literals, *[query.render(params, literals.writers) for query, params in statements])

    async def fetch(self, query: Query, params: Params, timeout: float | None = None) -> list[dict[str, Any]]:
        async with asyncio.timeout(timeout or REPLY_TIMEOUT), self._connection.cursor(aiomysql.DictCursor) as cursor:
            await cursor.execute(query.render(params, WRITERS))
            return [_plain(row) for row in await cursor.fetchall()]

    async def run(self, sql: str, timeout: float | None = None) -> int:
        """One statement as it stands, within so many seconds; rows changed."""
        return (await self._send(Literals(), sql, timeout=timeout))[0]

    async def _send(self, literals: Literals, *parts: str, timeout: float | None = None) -> list[int]:
        """Rows changed by each of the statements."""
        counts: list[int] = []
        async with self._large_turn if literals.large else nullcontext(), asyncio.timeout(timeout or REPLY_TIMEOUT):
            self.used_at = self._connection.loop.time()
            for packet in literals.packets(parts, self._largest_packet):
                counts += await replies.run(self._connection, packet)
        return counts

    async def run_batch(self, statements: Sequence[Statement]) -> list[int]:
        """The statements as one transaction, in one round trip if one packet holds them; rows changed by each."""
        literals = Literals()
        merged = merge(statements)
        parts = [statement.sql(literals.writers) for statement in merged]
        if len(parts) > 1:  # one by itself is a transaction anyway
            parts = ["BEGIN", *parts, "COMMIT"]
        counts = await self._send(literals, *parts)
        if len(counts) != len(parts):
            raise pymysql.err.OperationalError(2014, "the server answered a batch only in part")
        return spread(merged, counts if len(parts) == 1 else counts[1:-1], len(statements))

    async def ping(self) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await self._connection.ping(reconnect=False)

    async def roll_back(self) -> None:
        """End its transaction now; after a mere close the server does so in its own time."""
        with suppress(OSError, TimeoutError, pymysql.err.MySQLError):
            await self.run("ROLLBACK", timeout=CONNECT_TIMEOUT)

    def close(self) -> None:
        self._connection.close()

    async def quit(self) -> None:
        """Say goodbye, so that the server logs no aborted connection."""
        try:
            async with asyncio.timeout(2):
                await self._connection.ensure_closed()
        except (OSError, TimeoutError, pymysql.err.MySQLError):
            self._connection.close()


def _context(address: MySQLAddress) -> ssl.SSLContext | None:
    """StoreUnavailable while the files do not go together: they are being renewed."""
    try:
        return None if address.tls is None else address.tls.context()
    except ValueError as error:
        raise StoreUnavailable(f"no TLS to the database {address.place}: {error}") from error


def _distrusted(address: MySQLAddress, error: BaseException) -> bool:
    """Whether our certificate may be the reason: MariaDB hangs up on one that it does not trust, without a word."""
    lost = isinstance(error, pymysql.err.OperationalError) and error.args[0] == CR.CR_SERVER_LOST
    return lost and address.tls is not None and address.tls.cert is not None


def _check_heard(address: MySQLAddress, heard: Sequence[str]) -> None:
    """What is not sent and read as UTF-8 of four bytes would be refused, lost or encoded twice."""
    for name, value in zip(_HEARD, heard, strict=True):
        if value != "utf8mb4":
            raise AccessRefused(
                f"the database {address.place} does not speak utf8mb4 with us: {name} is {value} also after SET NAMES "
                "utf8mb4",
                "let what stands between us and the server pass that on",
            )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _text_time(value) if hasattr(value, "isoformat") else value for name, value in row.items()}


def _text_time(value: Any) -> str:
    return str(value.isoformat(sep=" ", timespec="milliseconds"))
