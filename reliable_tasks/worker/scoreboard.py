"""The scoreboard: a page of memory in which a child shows its supervisor what it runs.

The child writes to it when a body starts and ends, without a system call or a message. The
supervisor reads it to enforce time limits and, after a death, to know which claims had begun and
which only waited.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import signal
import struct

import msgspec

from reliable_tasks.core.clock import monotonic

__all__ = ["Posted", "Scoreboard"]

_BODY = struct.Struct("=ddd72s")  # began, soft and hard deadline, message id
_WORDS = 1 + _BODY.size // 8  # of 8 bytes in a slot: the fence, then the body
# Starts are remembered after their bodies have ended, since an outcome on its way to the store may
# be lost with the process. A consumer keeps no more than two exchanges of outcomes.
_LATEST = 2048
_TRIES = 100
_WAKE_S = 0.1  # the supervisor looks often for a while after it was woken


class Posted(msgspec.Struct, frozen=True, gc=False):
    """A body that runs: times are seconds of the monotonic clock, 0.0 for no limit."""

    id: str
    fence: int
    began: float
    soft_deadline: float
    hard_deadline: float


class Scoreboard:
    """Memory shared by a supervisor and one child, made before the fork.

    Args:
        slots: how many bodies the child runs at once.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._supervisor, self._woken_at = os.getpid(), 0.0
        self._latest = _LATEST + slots
        self._starts = slots * _WORDS
        self._numbers = itertools.count()  # atomic, for threads that begin bodies at once
        self._heard = self._starts + self._latest
        self._revoked = self._heard + 1
        self._memory = mmap.mmap(-1, (self._revoked + slots) * 8)
        self._words = memoryview(self._memory).cast("Q")

    def post(self, slot: int, posted: Posted) -> None:
        """Show that a body starts in this slot; posting it again changes its limits."""
        at, words, fence = slot * _WORDS, self._words, posted.fence
        if words[at] != fence:
            words[self._starts + next(self._numbers) % self._latest] = fence
        # The fence is 0, an empty slot, while the rest is written. A reader that finds
        # another fence after reading the rest than before reads again.
        words[at] = 0
        times = posted.began, posted.soft_deadline, posted.hard_deadline
        _BODY.pack_into(self._memory, (at + 1) * 8, *times, posted.id.encode())
        words[at] = fence
        if posted.hard_deadline or posted.soft_deadline:
            self._be_watched()

    def _be_watched(self) -> None:
        """Wake the supervisor, which looks seldom while no body has a limit."""
        now = monotonic()
        if now - self._woken_at > _WAKE_S and os.getppid() == self._supervisor:
            self._woken_at = now
            with contextlib.suppress(OSError):  # it has ended, and this process is about to
                os.kill(self._supervisor, signal.SIGCHLD)

    def clear(self, slot: int) -> None:
        """Show that the body in this slot has ended."""
        self._words[slot * _WORDS] = 0
        self._words[self._revoked + slot] = 0

    def revoke(self, fence: int) -> None:
        """Tell the body of this claim that its message was revoked; the supervisor's to call."""
        for slot in range(self._slots):
            if self._words[slot * _WORDS] == fence:
                self._words[self._revoked + slot] = fence

    def revoked(self, slot: int) -> int:
        """The fence of the revoked claim in a slot; 0 if there is none."""
        return self._words[self._revoked + slot]

    def heed(self, slot: int) -> None:
        """Clear the revocation in a slot, after the child has seen it."""
        self._words[self._revoked + slot] = 0

    def count_answer(self) -> None:
        """Count that the child has heard from the store."""
        self._words[self._heard] += 1

    def answers(self) -> int:
        """How often the child has heard from the store."""
        return self._words[self._heard]

    def begun(self) -> frozenset[int]:
        """The fences of the claims whose attempts have begun, ended or not: the latest of them."""
        return frozenset(self._words[self._starts : self._heard]) - {0}

    def running(self) -> tuple[Posted, ...]:
        """The bodies that run now."""
        posted = (self._read(slot) for slot in range(self._slots))
        return tuple(p for p in posted if p is not None)

    def _read(self, slot: int) -> Posted | None:
        at, words = slot * _WORDS, self._words
        for _ in range(_TRIES):  # bounded: bodies that change so fast need no watching
            fence = words[at]
            body = self._memory[(at + 1) * 8 : (at + _WORDS) * 8]
            if fence == words[at]:
                break
        else:
            return None
        if not fence:
            return None
        began, soft, hard, message_id = _BODY.unpack(body)
        return Posted(message_id.rstrip(b"\0").decode(errors="replace"), fence, began, soft, hard)

    def close(self) -> None:
        """Free the memory."""
        self._words.release()
        self._memory.close()
