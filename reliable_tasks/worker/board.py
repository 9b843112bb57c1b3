"""What a child is running, for its supervisor to see: a page of memory that both share.

The child writes when a body starts and ends; no system call, no message. The supervisor reads it to
enforce time limits, and after a death to know which claim was running and which only waited.
"""

from __future__ import annotations

import mmap
import struct

import msgspec

__all__ = ["Board", "Posted"]

_SEQUENCE = struct.Struct("=Q")
_BODY = struct.Struct("=Qddd72s")  # fence, began, soft and hard deadline, message id
_SLOT_SIZE = _SEQUENCE.size + _BODY.size
_TRIES = 100


class Posted(msgspec.Struct, frozen=True):
    """A body that runs: times are seconds of the monotonic clock, 0.0 for no limit."""

    id: str
    fence: int
    began: float
    soft_deadline: float
    hard_deadline: float


class Board:
    """Shared by a supervisor and one child; made before the fork.

    Args:
        slots: how many bodies the child runs at once.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._memory = mmap.mmap(-1, _SLOT_SIZE * slots)
        self._sequences = [0] * slots

    def post(self, slot: int, posted: Posted) -> None:
        """A body starts in this slot."""
        self._write(
            slot,
            posted.fence,
            posted.began,
            posted.soft_deadline,
            posted.hard_deadline,
            posted.id.encode()[:72],
        )

    def clear(self, slot: int) -> None:
        """The body in this slot has ended."""
        self._write(slot, 0, 0.0, 0.0, 0.0, b"")

    def _write(
        self, slot: int, fence: int, began: float, soft: float, hard: float, message_id: bytes
    ) -> None:
        # Odd while it is being written: a reader that sees one, or a change, reads again. Assigned
        # as bytes, since `pack_into` fills with zeros first, and zero is an even number.
        sequence = self._sequences[slot] = self._sequences[slot] + 2
        at = slot * _SLOT_SIZE
        body = at + _SEQUENCE.size
        self._memory[at:body] = _SEQUENCE.pack(sequence - 1)
        self._memory[body : at + _SLOT_SIZE] = _BODY.pack(fence, began, soft, hard, message_id)
        self._memory[at:body] = _SEQUENCE.pack(sequence)

    def running(self) -> tuple[Posted, ...]:
        """What runs now."""
        posted = (self._read(slot) for slot in range(self._slots))
        return tuple(p for p in posted if p is not None)

    def _read(self, slot: int) -> Posted | None:
        at = slot * _SLOT_SIZE
        body = at + _SEQUENCE.size
        for _ in range(_TRIES):  # bounded: the writer may have died in the middle
            before = self._memory[at:body]
            fence, began, soft, hard, message_id = _BODY.unpack(
                self._memory[body : at + _SLOT_SIZE]
            )
            if before == self._memory[at:body] and _SEQUENCE.unpack(before)[0] % 2 == 0:
                break
        if not fence:
            return None
        return Posted(message_id.rstrip(b"\0").decode(errors="replace"), fence, began, soft, hard)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
