"""Task messages from a file or from stdin, one by one, each with the place where it stands."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from msgspec import Struct

from gridsidecar.errors import UsageError
from gridsidecar.wire.strict_json import JsonRefused, data_json, parse_json

CHUNK = 64 * 1024
STDIN = 0


class Item(Struct, frozen=True):
    """One JSON text, and where it stands: `line 3`, `item 3`."""

    place: str
    text: bytes


async def items(source: str) -> AsyncIterator[Item]:
    """The items of a file, or of stdin (`-`) as they arrive.

    A file whose name ends in .json is one document: a list of items, or a single one. Everything else is JSON lines.
    """
    if source == "-":
        async for item in _lines(STDIN):
            yield item
        return
    if source.endswith(".json"):
        for item in _document(source):
            yield item
        return
    descriptor = _opened(source)
    try:
        async for item in _lines(descriptor):
            yield item
    finally:
        os.close(descriptor)


def read_all(source: str) -> str:
    """The whole text of a file or of stdin (`-`)."""
    descriptor = STDIN if source == "-" else _opened(source)
    try:
        with os.fdopen(descriptor, "rb", closefd=source != "-") as file:
            return file.read().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {'stdin' if source == '-' else source}: {_reason(error)}") from None


def _opened(path: str) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {_reason(error)}") from None
    if Path(path).is_dir():
        os.close(descriptor)
        raise UsageError(f"cannot read {path}: it is a folder")
    return descriptor


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return getattr(error, "strerror", None) or str(error)


def _document(path: str) -> list[Item]:
    try:
        value = parse_json(read_all(path))
    except JsonRefused as refused:
        raise UsageError(f"{path} is not JSON: {refused.detail}; JSON lines belong in a .jsonl file") from None
    values = value if isinstance(value, list) else [value]
    return [Item(f"item {number}", data_json(one).encode()) for number, one in enumerate(values, 1)]


async def _lines(descriptor: int) -> AsyncIterator[Item]:
    """Lines that are not blank; the last may lack its LF."""
    number = 0
    parts: list[bytes] = []  # of a line whose end has not come yet
    async for chunk in _chunks(descriptor):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            number += 1
            line = b"".join([*parts, end])
            parts = []
            if line.strip():
                yield Item(f"line {number}", line)
        parts.append(rest)
    last = b"".join(parts)
    if last.strip():
        yield Item(f"line {number + 1}", last)


async def _chunks(descriptor: int) -> AsyncIterator[bytes]:
    while True:
        await _readable(descriptor)
        chunk = os.read(descriptor, CHUNK)
        if not chunk:
            return
        yield chunk


async def _readable(descriptor: int) -> None:
    """Wait on the event loop, not in a thread: a thread that reads a terminal cannot be interrupted."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:
        await asyncio.sleep(0)
        return  # epoll refuses what is always readable, such as a file
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
