"""Frames of deliveries are read as py-amqp reads them, in whatever pieces they come."""

from __future__ import annotations

import datetime as dt
import struct
from decimal import Decimal
from typing import Any

import amqp
import pytest
from amqp.serialization import decode_properties_basic
from hypothesis import given
from hypothesis import strategies as st

from reliable_tasks.contrib.bridge.frames import Connection, _properties

names = st.text(max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=20)
    | st.just(Decimal("1.5"))
    | st.just(dt.datetime(2026, 11, 27, 12)),  # noqa: DTZ001 - as py-amqp has them
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
properties = st.fixed_dictionaries(
    {},
    optional={
        "content_type": names,
        "content_encoding": names,
        "application_headers": st.dictionaries(names, values, max_size=6),
        "delivery_mode": st.integers(0, 255),
        "priority": st.integers(0, 255),
        "correlation_id": names,
        "reply_to": names,
        "expiration": names,
        "message_id": names,
        "type": names,
        "app_id": names,
    },
)


def header(size: int, given: dict[str, Any]) -> bytes:
    """A content header's payload, as py-amqp writes it."""
    message = amqp.Message("", **given)
    return struct.pack(">HHQ", 60, 0, size) + bytes(message._serialize_properties())


def frame(kind: int, payload: bytes, channel: int = 1) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def delivered(tag: int, body: bytes, most: int, **given: Any) -> bytes:
    """The frames of a delivery whose body comes in frames of at most `most` bytes."""
    method = b"\x00\x3c\x00\x3c" + b"\x03ctg" + struct.pack(">Q", tag) + b"\0" + b"\x01x\x01q"
    parts = [body[at : at + most] for at in range(0, len(body), most)]
    return b"".join(
        [frame(1, method), frame(2, header(len(body), given)), *(frame(3, part) for part in parts)]
    )


class Wire(Connection):
    """A connection that is fed by the test."""

    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__()
        self.pieces = pieces
        self.theirs: list[Any] = []
        self.on_inbound_frame = self.theirs.append

    def _receive(self, timeout: float | None) -> None:
        if not self.pieces:
            raise TimeoutError
        self._keep(self.pieces.pop(0))


@given(properties)
def test_properties_are_those_of_py_amqp(given: dict[str, Any]) -> None:
    payload = header(0, given)
    (flags,) = struct.unpack_from(">H", payload, 12)
    assert _properties(payload, flags) == decode_properties_basic(payload, 12)[0]


@given(st.lists(st.binary(max_size=40), max_size=4), st.integers(1, 50), st.integers(1, 30))
def test_the_pieces_do_not_matter(bodies: list[bytes], size: int, most: int) -> None:
    stream = b"".join(
        delivered(tag, body, most, priority=3, application_headers={"id": f"{tag}"})
        + frame(8, b"", 0)
        for tag, body in enumerate(bodies)
    )
    wire = Wire([stream[at : at + size] for at in range(0, len(stream), size)])
    while wire.pieces:
        wire.take(0)
    assert [(a.consumer, a.tag, a.body) for a in wire.arrivals] == [
        ("ctg", tag, body) for tag, body in enumerate(bodies)
    ]
    assert all(
        arrival.properties == {"priority": 3, "application_headers": {"id": f"{arrival.tag}"}}
        for arrival in wire.arrivals
    )
    assert wire.theirs == [(8, 0, b"")] * len(bodies)
    with pytest.raises(TimeoutError):
        wire.take(0)


def test_an_answer_of_the_broker_is_read_among_deliveries() -> None:
    answer = frame(1, struct.pack(">HH", 50, 11), channel=2)
    wire = Wire([delivered(1, b"abc", 2) + answer + delivered(2, b"", 9)])
    while not wire.theirs:
        wire.blocking_read(0)
    assert wire.theirs == [(1, 2, struct.pack(">HH", 50, 11))]
    wire.take(0)
    assert [arrival.body for arrival in wire.arrivals] == [b"abc", b""]


def test_headers_that_are_not_amqp_cost_their_message_alone() -> None:
    good = delivered(2, b"good", 9, priority=1)
    broken = bytearray(delivered(1, b"bad", 9, application_headers={"id": "abc"}))
    broken[broken.index(b"S\0\0\0\x03abc")] = ord("?")
    wire = Wire([bytes(broken) + good])
    wire.take(0)
    first, second = wire.arrivals
    assert "its headers are not AMQP" in str(first.fault)
    assert (first.tag, first.body, first.properties) == (1, b"bad", {})
    assert (second.fault, second.body) == (None, b"good")


def test_a_stream_out_of_step_is_an_error() -> None:
    wire = Wire([frame(8, b"")[:-1] + b"\0"])
    with pytest.raises(amqp.UnexpectedFrame):
        wire.take(0)


def test_a_broker_that_hangs_up_is_an_error() -> None:
    class Gone:
        connected = True

        def having_timeout(self, _timeout: float) -> Any:
            return self

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None: ...

        def recv(self, _most: int) -> bytes:
            return b""

    connection = Connection()
    connection._transport = Gone()
    with pytest.raises(ConnectionResetError):
        connection.take(0)
    assert not connection._transport.connected
