"""The server's replies to writes, read as they lie in the buffer: the client takes an object or two for each."""

from __future__ import annotations

from typing import Any

from pymysql.constants import COMMAND, CR, SERVER_STATUS
from pymysql.err import OperationalError, raise_mysql_exception

_OK, _ERROR = 0x00, 0xFF
_PIECE = 65_536  # bytes
_INTEGERS = {0xFC: 2, 0xFD: 3, 0xFE: 8}  # bytes, by the byte before them


async def run(connection: Any, packet: bytes | bytearray) -> list[int]:
    """Run statements that travel together and give no rows; how many rows each of them changed. Raises the client's
    errors; the connection is of no use after one."""
    await connection._execute_command(COMMAND.COM_QUERY, packet)
    counts: list[int] = []
    buffer, at, number = b"", 0, connection._next_seq_id
    while True:
        while (size := _size(buffer, at)) < 0:
            buffer, at = buffer[at:] + await _more(connection), 0
        if buffer[at + 3] != number % 256:
            raise _out_of_step("one came out of its turn", lost=not buffer[at + 3])
        kind, end = buffer[at + 4], at + 4 + size
        if kind == _ERROR:
            raise_mysql_exception(buffer[at + 4 : end])
        if kind != _OK:
            raise _out_of_step("a write was answered by rows")
        count, after = _integer(buffer, at + 5)
        counts.append(count)
        _, after = _integer(buffer, after)  # the id of an inserted row
        status = buffer[after] + 256 * buffer[after + 1]
        at, number = end, number + 1
        if not status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS:
            break
    if at != len(buffer):
        raise _out_of_step("more came than was asked for")
    connection.server_status = status
    return counts


def _size(buffer: bytes, at: int) -> int:
    """Bytes of the reply that begins here; -1 when it is not there yet."""
    size = int.from_bytes(buffer[at : at + 3], "little")
    return size if len(buffer) >= at + 4 + size and len(buffer) > at + 4 else -1


async def _more(connection: Any) -> bytes:
    try:
        data: bytes = await connection._reader.read(_PIECE)
    except OSError as error:
        raise OperationalError(CR.CR_SERVER_LOST, f"Lost connection to MySQL server during query ({error})") from error
    if not data:
        raise OperationalError(CR.CR_SERVER_LOST, "Lost connection to MySQL server during query")
    return data


def _integer(buffer: bytes, at: int) -> tuple[int, int]:
    """An integer of one to nine bytes, and where it ends."""
    first = buffer[at]
    size = _INTEGERS.get(first)
    if size is None:
        return first, at + 1
    return int.from_bytes(buffer[at + 1 : at + 1 + size], "little"), at + 1 + size


def _out_of_step(problem: str, *, lost: bool = False) -> OperationalError:
    """An error numbered 0 is what a server sends that shuts down."""
    return OperationalError(CR.CR_SERVER_LOST if lost else 2014, f"the server's replies make no sense: {problem}")
