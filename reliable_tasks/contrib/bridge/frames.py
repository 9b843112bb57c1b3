"""An AMQP connection that reads in large pieces and takes deliveries apart by itself.

py-amqp asks the socket for every few bytes, and makes several objects of each message. All of a
connection but deliveries is still its own work: only their frames (AMQP 0-9-1: deliver, header and
body) are read here, and what is rare in them is left to it as well.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

import amqp
from amqp.serialization import decode_properties_basic
from kombu.transport import pyamqp

__all__ = ["Arrival", "Connection", "SSLTransport", "Transport"]

_PIECE: Final = 1 << 16
_FRAME: Final = struct.Struct(">BHI")
_HEADER: Final = struct.Struct(">HHQH")
_LONG: Final = struct.Struct(">i")
_LONG_LONG: Final = struct.Struct(">q")
_METHOD, _CONTENT_HEADER, _CONTENT_BODY = 1, 2, 3
_END: Final = 0xCE
_DELIVER: Final = b"\x00\x3c\x00\x3c"
_PLAIN: Final = (
    (0x8000, "content_type"),
    (0x4000, "content_encoding"),
    (0x2000, "application_headers"),
    (0x1000, "delivery_mode"),
    (0x0800, "priority"),
    (0x0400, "correlation_id"),
    (0x0200, "reply_to"),
)
"""What Celery sets, in the order in which it stands in a header."""
_RARE: Final = 0x01FF
_OCTETS: Final = frozenset({"delivery_mode", "priority"})


class Arrival(NamedTuple):
    """A message as it came; `fault` says why its properties could not be read."""

    consumer: str
    tag: int
    properties: dict[str, Any]
    body: bytes
    fault: str | None


class _Parts:
    """A delivery whose frames have not all come."""

    __slots__ = ("body", "consumer", "fault", "left", "properties", "tag")

    def __init__(self, consumer: str, tag: int) -> None:
        self.consumer = consumer
        self.tag = tag
        self.left = 0
        self.properties: dict[str, Any] = {}
        self.fault: str | None = None
        self.body: list[bytes] = []

    def header(self, payload: bytes) -> None:
        _, _, self.left, flags = _HEADER.unpack_from(payload)
        try:
            self.properties = _properties(payload, flags)
        except Exception as error:  # noqa: BLE001 - py-amqp raises anything at what is not AMQP
            self.fault = f"its headers are not AMQP: {error!r}"

    def arrived(self) -> Arrival:
        body = b"".join(self.body)
        return Arrival(self.consumer, self.tag, self.properties, body, self.fault)


class Connection(pyamqp.Connection):  # type: ignore[misc] # kombu has no types for it
    """py-amqp's connection, whose deliveries collect in `arrivals`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.arrivals: list[Arrival] = []
        self._unread = b""
        self._at = 0
        self._parts: dict[int, _Parts] = {}

    def take(self, timeout: float) -> None:
        """Wait for something to arrive, and read all of it.

        Raises:
            TimeoutError: nothing came.
        """
        frame = self._next_frame()
        if frame is None:
            self._receive(timeout)
            frame = self._next_frame()
        while frame is not None:
            self._handle(frame)
            frame = self._next_frame()

    def blocking_read(self, timeout: float | None = None) -> Any:
        """Read one frame, as py-amqp does when it waits for an answer; true if it was a method."""
        frame = self._next_frame()
        while frame is None:
            self._receive(timeout)
            frame = self._next_frame()
        return self._handle(frame)

    def _receive(self, timeout: float | None) -> None:
        transport = self.transport
        try:
            with transport.having_timeout(timeout) as sock:
                piece = sock.recv(_PIECE)
        except TimeoutError:
            raise
        except OSError:
            transport.connected = False
            raise
        if not piece:
            transport.connected = False
            raise ConnectionResetError("the broker has closed the connection")
        self._keep(piece)

    def _keep(self, piece: bytes) -> None:
        self._unread = self._unread[self._at :] + piece
        self._at = 0

    def _next_frame(self) -> tuple[int, int, bytes] | None:
        unread, at = self._unread, self._at
        if len(unread) < at + 8:
            return None
        kind, channel, size = _FRAME.unpack_from(unread, at)
        end = at + 7 + size
        if len(unread) <= end:
            return None
        if unread[end] != _END:
            raise amqp.UnexpectedFrame(f"a frame of {size} bytes ends in {unread[end]:#x}")
        self._at = end + 1
        return kind, channel, unread[at + 7 : end]

    def _handle(self, frame: tuple[int, int, bytes]) -> Any:
        kind, channel, payload = frame
        if kind == _METHOD:
            if not payload.startswith(_DELIVER):
                return self.on_inbound_frame(frame)
            end = 5 + payload[4]
            (tag,) = _LONG_LONG.unpack_from(payload, end)
            self._parts[channel] = _Parts(str(payload[5:end], "utf-8"), tag)
        else:
            parts = self._parts.get(channel)
            if parts is None:
                return self.on_inbound_frame(frame)
            if kind == _CONTENT_HEADER:
                parts.header(payload)
            elif kind == _CONTENT_BODY:
                parts.body.append(payload)
                parts.left -= len(payload)
            else:
                return self.on_inbound_frame(frame)
            if parts.left <= 0:
                del self._parts[channel]
                self.arrivals.append(parts.arrived())
        self.bytes_recv += 1  # counts frames, for the heartbeat
        return False


def _properties(payload: bytes, flags: int) -> dict[str, Any]:
    if flags & _RARE:
        return _slowly(payload)
    try:
        return _plain(payload, flags)
    except (KeyError, ValueError):
        return _slowly(payload)


def _slowly(payload: bytes) -> dict[str, Any]:
    properties: dict[str, Any]
    properties, _ = decode_properties_basic(payload, 12)
    return properties


def _plain(payload: bytes, flags: int) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    at = 14
    for flag, name in _PLAIN:
        if not flags & flag:
            continue
        if name == "application_headers":
            properties[name], at = _table(payload, at)
        elif name in _OCTETS:
            properties[name] = payload[at]
            at += 1
        else:
            end = at + 1 + payload[at]
            properties[name] = str(payload[at + 1 : end], "utf-8")
            at = end
    return properties


def _table(payload: bytes, at: int) -> tuple[dict[str, Any], int]:
    end = at + 4 + int.from_bytes(payload[at : at + 4])
    at += 4
    found: dict[str, Any] = {}
    while at < end:
        start = at + 1
        at = start + payload[at]
        name = str(payload[start:at], "utf-8")
        found[name], at = _READERS[payload[at]](payload, at + 1)
    if at != end:
        raise ValueError("a table is longer than it says")
    return found, end


def _array(payload: bytes, at: int) -> tuple[list[Any], int]:
    end = at + 4 + int.from_bytes(payload[at : at + 4])
    at += 4
    found = []
    while at < end:
        value, at = _READERS[payload[at]](payload, at + 1)
        found.append(value)
    if at != end:
        raise ValueError("an array is longer than it says")
    return found, end


def _text(payload: bytes, at: int) -> tuple[str, int]:
    end = at + 4 + int.from_bytes(payload[at : at + 4])
    return str(payload[at + 4 : end], "utf-8"), end


def _void(_payload: bytes, at: int) -> tuple[None, int]:
    return None, at


def _flag(payload: bytes, at: int) -> tuple[bool, int]:
    return payload[at] != 0, at + 1


def _long(payload: bytes, at: int) -> tuple[int, int]:
    return _LONG.unpack_from(payload, at)[0], at + 4


def _long_long(payload: bytes, at: int) -> tuple[int, int]:
    return _LONG_LONG.unpack_from(payload, at)[0], at + 8


_READERS: Final = {
    ord("S"): _text,
    ord("V"): _void,
    ord("I"): _long,
    ord("L"): _long_long,
    ord("l"): _long_long,
    ord("t"): _flag,
    ord("A"): _array,
    ord("F"): _table,
}
"""By the letter of its kind, what reads a value that Celery writes; others are py-amqp's work."""


class Transport(pyamqp.Transport):  # type: ignore[misc] # as above
    """kombu's transport, with this connection."""

    Connection = Connection


class SSLTransport(pyamqp.SSLTransport):  # type: ignore[misc] # as above
    """The same with TLS."""

    Connection = Connection
