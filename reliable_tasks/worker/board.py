"""What a child is running, for its supervisor to see: a page of memory that both share.

The child writes when a body starts and ends; no system call, no message. The supervisor reads it to
enforce time limits, and after a death to know which claim was running and which only waited.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass

__all__ = ["Board", "Posted"]

_SLOT = struct.Struct("=QQddd72s")  # sequence, fence, began, soft and hard deadline, message id


@dataclass(frozen=True, slots=True)
class Posted:
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
        self._memory = mmap.mmap(-1, _SLOT.size * slots)
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
        # Odd while it is being written: a reader that sees one, or a change, reads again.
        at, sequence = slot * _SLOT.size, self._sequences[slot] + 2
        self._sequences[slot] = sequence
        struct.pack_into("=Q", self._memory, at, sequence - 1)
        _SLOT.pack_into(self._memory, at, sequence - 1, fence, began, soft, hard, message_id)
        struct.pack_into("=Q", self._memory, at, sequence)

    def running(self) -> tuple[Posted, ...]:
        """What runs now."""
        posted = (self._read(slot) for slot in range(self._slots))
        return tuple(p for p in posted if p is not None)

    def _read(self, slot: int) -> Posted | None:
        for _ in range(100):
            sequence, fence, began, soft, hard, message_id = _SLOT.unpack_from(
                self._memory, slot * _SLOT.size
            )
            (again,) = struct.unpack_from("=Q", self._memory, slot * _SLOT.size)
            if sequence == again and sequence % 2 == 0:
                break
        if not fence:
            return None
        return Posted(message_id.rstrip(b"\0").decode(errors="replace"), fence, began, soft, hard)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
