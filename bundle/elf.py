"""What an ELF file says of the libraries that it needs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 15, 29


@dataclass(frozen=True)
class Elf:
    """`folders` are those that it names itself, with $ORIGIN replaced by its own; `loader` is a program's."""

    path: Path
    machine: int
    needed: tuple[str, ...]
    folders: tuple[Path, ...]
    loader: str | None


@dataclass(frozen=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_elf(path: Path) -> Elf:
    """ValueError when it is none of 64 bits, little-endian."""
    data = path.read_bytes()
    if not data.startswith(_MAGIC):
        raise ValueError(f"{path} is no ELF file of 64 bits, little-endian")
    segments = list(_segments(data))
    entries = [entry for each in segments if each.kind == _PT_DYNAMIC for entry in _dynamic(data, each)]
    strings = next((_offset(segments, value) for tag, value in entries if tag == _DT_STRTAB), 0)

    def texts(*tags: int) -> list[str]:
        return [_text(data, strings + value) for tag, value in entries if tag in tags]

    return Elf(
        path=path,
        machine=struct.unpack_from("<H", data, 18)[0],
        needed=tuple(texts(_DT_NEEDED)),
        folders=tuple(_folder(word, path) for word in ":".join(texts(_DT_RPATH, _DT_RUNPATH)).split(":") if word),
        loader=next((_text(data, each.offset) for each in segments if each.kind == _PT_INTERP), None),
    )


def _segments(data: bytes) -> Iterator[_Segment]:
    (start,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for place in range(start, start + size * count, size):
        kind, _, offset, address, _, in_file = struct.unpack_from("<IIQQQQ", data, place)
        yield _Segment(kind, offset, address, in_file)


def _dynamic(data: bytes, segment: _Segment) -> Iterator[tuple[int, int]]:
    for tag, value in struct.iter_unpack("<QQ", data[segment.offset : segment.offset + segment.size]):
        if tag == _DT_NULL:
            return
        yield tag, value


def _offset(segments: list[_Segment], address: int) -> int:
    """Where in the file is what will be at `address`."""
    for each in segments:
        if each.kind == _PT_LOAD and each.address <= address < each.address + each.size:
            return each.offset + address - each.address
    raise ValueError(f"no segment holds the address {address:#x}")


def _text(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()


def _folder(word: str, path: Path) -> Path:
    origin = str(path.resolve().parent)
    return Path(word.replace("${ORIGIN}", origin).replace("$ORIGIN", origin))
