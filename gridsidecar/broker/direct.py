"""Deliveries and acks past the client, which takes three queues and two tasks for each of them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any

import aiormq.abc
from aio_pika.abc import AbstractChannel
from msgspec import Struct, field

from gridsidecar import telemetry
from gridsidecar.broker import pamqp_patches

_FRAME = struct.Struct(">BHI")  # kind, channel, bytes of the payload
_METHOD, _HEADER, _BODY = 1, 2, 3
_KINDS = frozenset({_METHOD, _HEADER, _BODY, 8})
_END = 0xCE
_HEARTBEAT = b"\x08\0\0\0\0\0\0\xce"
_DELIVER = b"\0\x3c\0\x3c"
_CLOSES_WITH_TEXT = (b"\0\x0a\0\x32", b"\0\x14\0\x28")  # the server closes the connection, or a channel
_CLOSES = (b"\0\x14\0\x28", b"\0\x14\0\x29")  # the server closes a channel, or says that it has closed it
_TAG = struct.Struct(">QB")
_SETTLE = struct.Struct(">BHIIQBB")
_BASIC_ACK, _BASIC_NACK = 0x3C0050, 0x3C0078
_REQUEUE = 2  # a bit of a nack
_TELL_EVERY = 1.0  # seconds

Properties = Mapping[str, Any]
Take = Callable[[int, bool, Properties, bytes], None]  # tag, redelivered, properties, body


class DirectChannel:
    """One of the client's channels, as its deliveries and acks see it."""

    def __init__(
        self, client: AbstractChannel, underlay: aiormq.abc.AbstractChannel, writer: asyncio.StreamWriter
    ) -> None:
        self.client = client
        self.underlay = underlay  # the same channel in the protocol layer
        self.over = False  # what it handed out comes again; an ack would now cost the whole connection
        self.take: Take | None = None
        self._writer = writer
        self._settled: list[tuple[int, int, int]] = []  # method, tag, bits

    @property
    def alive(self) -> bool:
        return not (self.over or self.underlay.is_closed) and self.underlay.connection.is_opened

    def ack(self, tag: int) -> None:
        """The broker may forget it. Leaves with what else is settled in this turn of the loop, and waits for nothing:
        what is not read here is no more than what was handed out."""
        self._settle(_BASIC_ACK, tag, 0)

    def requeue(self, tag: int) -> None:
        """The broker is to hand it out again. A nack, not a reject, which counts against the delivery limit of a quorum
        queue; a nack does only up to 4.2."""
        self._settle(_BASIC_NACK, tag, _REQUEUE)

    def _settle(self, method: int, tag: int, bits: int) -> None:
        if not self._settled:
            asyncio.get_running_loop().call_soon(self._send)
        self._settled.append((method, tag, bits))

    def _send(self) -> None:
        settled, self._settled = self._settled, []
        if self.alive and not self._writer.is_closing():
            number = self.underlay.number
            frames = [_SETTLE.pack(_METHOD, number, 13, method, tag, bits, _END) for method, tag, bits in settled]
            with suppress(OSError, RuntimeError):  # the connection is gone
                self._writer.write(b"".join(frames))
        else:  # each comes again, and its row says that it is done
            for _, tag, _ in settled:
                telemetry.debug("a delivery outlived its channel; the broker hands it out again", tag=tag)


class _Half(Struct):
    """A delivery of which more is to come."""

    tag: int
    redelivered: bool
    missing: int = 0  # bytes of the body
    properties: Properties = field(default_factory=dict)
    body: bytes = b""
    pieces: BytesIO | None = None  # of a body that comes in several frames: never twice in memory

    def add(self, piece: bytes) -> None:
        if self.pieces is None and len(piece) == self.missing:
            self.body = piece
        else:
            self.pieces = self.pieces or BytesIO()
            self.pieces.write(piece)
        self.missing -= len(piece)


class DeliveryReader(asyncio.StreamReader):
    """What the client reads: all frames but those of deliveries, which go to their channel."""

    def __init__(self) -> None:
        super().__init__()
        self._direct: dict[int, DirectChannel] = {}
        self._halves: dict[int, _Half] = {}
        self._rest = b""  # the start of a frame
        self._foreign = False  # no AMQP: for the client to say so
        self._told_at = 0.0  # loop time
        self.close_text = ""  # why the server closes the connection, in its words
        self._took = False  # a frame, from what came last

    def add(self, channel: DirectChannel) -> None:
        self._direct[channel.underlay.number] = channel

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        self._took = False
        for_client = self._split(self._rest + data if self._rest else bytes(data))
        now = asyncio.get_running_loop().time()
        if self._took and not for_client and now - self._told_at > _TELL_EVERY:
            for_client = _HEARTBEAT  # or the client takes a connection for dead that brings nothing but deliveries
        if for_client:
            self._told_at = now
            super().feed_data(for_client)

    def feed_eof(self) -> None:
        if self._rest:
            super().feed_data(self._rest)
        super().feed_eof()

    def _split(self, data: bytes) -> bytes:
        """Hand over the deliveries; the frames for the client."""
        others: list[bytes] = []
        at, end = 0, len(data)
        while end - at >= 8 and not self._foreign:
            kind, number, size = _FRAME.unpack_from(data, at)
            after = at + 8 + size
            if after > end and kind in _KINDS:
                break
            if kind not in _KINDS or data[after - 1] != _END:
                self._foreign = True
                break
            if self._is_of_delivery(kind, number, data, at + 7, after - 1):
                self._took = True
            elif kind == _METHOD and data[at + 7 : at + 11] in _CLOSES_WITH_TEXT:
                others.append(self._heard(number, data[at:after]))
            else:
                others.append(data[at:after])
            at = after
        self._rest = data[at:]
        if self._foreign:
            others.append(self._rest)
            self._rest = b""
        return others[0] if len(others) == 1 else b"".join(others)

    def _heard(self, number: int, frame: bytes) -> bytes:
        """A close whose text can be read: the server cuts it after 255 bytes, maybe inside of a character."""
        start, end = 14, 14 + frame[13]
        text = frame[start:end].decode(errors="ignore")
        if number == 0:
            self.close_text = text
        kept = text.encode()
        payload = frame[7:13] + bytes([len(kept)]) + kept + frame[end:-1]
        return _FRAME.pack(_METHOD, number, len(payload)) + payload + frame[-1:]

    def _is_of_delivery(self, kind: int, number: int, data: bytes, start: int, end: int) -> bool:
        """Take the frame if so."""
        if kind == _METHOD:
            method = data[start : start + 4]
            if method == _DELIVER:
                tag, bits = _TAG.unpack_from(data, start + 5 + data[start + 4])
                self._halves[number] = _Half(tag, bool(bits & 1))
                return True
            if method in _CLOSES and number in self._direct:
                self._direct.pop(number).over = True
                self._halves.pop(number, None)
            return False
        half = self._halves.get(number)
        if half is None:
            return False
        if kind == _HEADER:
            half.missing, half.properties = pamqp_patches.read_header(data[start:end])
        else:
            half.add(data[start:end])
        if half.missing <= 0:
            del self._halves[number]
            self._hand_over(number, half)
        return True

    def _hand_over(self, number: int, half: _Half) -> None:
        channel = self._direct.get(number)
        if channel is None or channel.take is None:
            return  # its channel is closed, so the broker hands it out again
        body = half.body if half.pieces is None else half.pieces.getvalue()
        try:
            channel.take(half.tag, half.redelivered, half.properties, body)
        except Exception as error:
            telemetry.unexpected_error(error)
