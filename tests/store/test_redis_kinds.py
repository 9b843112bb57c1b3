"""What claims of plain messages have in common is understood once, whatever their tokens are."""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING

import pytest

from reliable_tasks.core.message import Message
from reliable_tasks.store.redis.codec import fast_path
from reliable_tasks.store.redis.codec.layout import pack, pack_text

if TYPE_CHECKING:
    from reliable_tasks.store.values import Claim


@pytest.fixture(autouse=True)
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The kinds that were taken apart."""
    kinds: list[bytes] = []
    parse = fast_path._parsed

    def noted(kind: bytes) -> tuple[Claim, int, int]:
        kinds.append(kind)
        return parse(kind)

    monkeypatch.setattr(fast_path, "_parsed", noted)
    monkeypatch.setattr(fast_path, "_known", {})
    return kinds


def claimed(m: Message) -> Claim:
    stamp = pack(("s", "w", 5, m.queue))
    head = fast_path.CLAIMED_HEAD.pack(fast_path.CLAIMED, 7, len(stamp)) + stamp
    placed = struct.pack(">QQ", 3, 1)
    packed = head + fast_path._pack_kind(m) + placed + pack_text(m.payload)
    return fast_path.plain_claim(m.id.encode(), packed)


def test_calls_that_differ_in_their_tokens_are_of_one_kind(parsed: list[bytes]) -> None:
    messages = [Message(id=f"m{n}", task="t", token=f"{n:032x}") for n in range(100)]
    claims = [claimed(m) for m in messages]
    assert [claim.id for claim in claims] == [m.id for m in messages]
    assert {id(claim.kind) for claim in claims} == {id(claims[0].kind)}
    assert len(parsed) == 1


TOKENS = ("", "t", "é" * 15, "x" * 31, "x" * 32, "x" * 255, "x" * 300)


def test_no_call_is_taken_for_another_kind() -> None:
    """Names, queues and headers that look like tokens, tokens that look like them; of all sizes."""
    odd = b"\xd9 " + b"x" * 32 + b"\xc2\x00"
    messages = [
        Message(id="m", task=task, queue=queue, headers=headers, token=token)
        for task in ("t", "x" * 32, "x" * 35)
        for queue in ("q", "x" * 32)
        for headers in (b"", b"h", odd, b"h" * 34)
        for token in TOKENS
    ]
    for m in itertools.chain(messages, reversed(messages), messages[::2], messages[1::2]):
        claim = claimed(m)
        assert (claim.task, claim.queue, claim.headers) == (m.task, m.queue, m.headers)
        assert claim.kind is not None
        assert claim.kind.task == m.task


def test_what_is_remembered_is_bounded(parsed: list[bytes]) -> None:
    for number in range(3_000):
        size = number % 200 + 1 if number > 1_500 else 1
        claimed(Message(id="m", task="t" * size, queue=f"q{number:04}"))
    assert sum(len(claims) for _, _, claims in fast_path._known.values()) <= 512
