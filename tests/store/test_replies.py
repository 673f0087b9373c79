"""What a server answers to writes, byte by byte; real servers speak in all other tests of the store."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pymysql.err
import pytest

from gridsidecar.store.mysql import replies

MORE, LAST = b"\x0a\0", b"\x02\0"  # the server's status


def reply(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes((number,)) + payload


def ok(number: int, count: bytes, status: bytes, insert_id: bytes = b"\0") -> bytes:
    return reply(number, b"\0" + count + insert_id + status + b"\0\0")


async def counts(*pieces: bytes, first: int = 1) -> list[int]:
    """What is read, when the pieces come one after the other."""
    reader = asyncio.StreamReader()

    async def send(_command: int, _packet: bytes) -> None:
        return None

    async def feed() -> None:
        for piece in pieces:
            reader.feed_data(piece)
            await asyncio.sleep(0)
        reader.feed_eof()

    connection: Any = SimpleNamespace(_reader=reader, _next_seq_id=first, _execute_command=send)
    feeding = asyncio.create_task(feed())
    try:
        return await replies.run(connection, b"")
    finally:
        await feeding


SENT = (
    ok(1, b"\1", MORE)
    + ok(2, b"\xfa", MORE, insert_id=b"\xfd\1\2\3")
    + ok(3, b"\xfc\x01\x02", MORE, insert_id=b"\xfc\1\2")
    + ok(4, b"\xfe" + (2**40).to_bytes(8, "little"), LAST)
)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 11, 1000])
async def test_replies_may_come_in_pieces(size: int) -> None:
    pieces = [SENT[at : at + size] for at in range(0, len(SENT), size)]
    assert await counts(*pieces) == [1, 250, 0x0201, 2**40]


async def test_numbers_begin_behind_those_of_a_large_statement_and_wrap() -> None:
    assert await counts(ok(2, b"\3", LAST), first=2) == [3]
    many = b"".join(ok(number % 256, b"\1", MORE) for number in range(255, 520))
    assert await counts(many + ok(520 % 256, b"\1", LAST), first=255) == [1] * 266


async def test_an_error_is_raised_as_the_client_would() -> None:
    error = reply(2, b"\xff" + (1062).to_bytes(2, "little") + b"#23000Duplicate entry")
    with pytest.raises(pymysql.err.IntegrityError, match="Duplicate entry"):
        await counts(ok(1, b"\1", MORE) + error)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(SENT[:-1], id="cut off"),
        pytest.param(b"", id="nothing"),
        pytest.param(ok(2, b"\1", LAST), id="out of turn"),
        pytest.param(ok(1, b"\1", LAST) + ok(2, b"\1", LAST), id="too much"),
        pytest.param(reply(1, b"\1"), id="rows"),
        pytest.param(reply(0, b"\xff\x1d\x04#08S01Server shutdown"), id="shutdown"),
    ],
)
async def test_what_makes_no_sense_is_an_error_of_the_connection(sent: bytes) -> None:
    with pytest.raises(pymysql.err.OperationalError):
        await counts(sent)
