"""Counts the bodies that run, in memory that the driver shares: no system call on the hot path.

Every process that runs bodies has a file of its own in the folder that BENCH_PROBE names. Nothing
but the standard library is imported here, for every peer's environment loads this.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FOLDER", "Seen", "clear", "hit", "look"]

FOLDER = "BENCH_PROBE"
_RECORD = struct.Struct("=QQQ")  # bodies, first and last start (monotonic, ns)


@dataclass(frozen=True, slots=True)
class Seen:
    """The bodies of all processes: how many, and when the first and the last started (ns)."""

    bodies: int = 0
    first_ns: int = 0
    last_ns: int = 0


class _Counter:
    """The record of this process."""

    __slots__ = ("_memory",)

    def __init__(self) -> None:
        path = Path(os.environ[FOLDER]) / str(os.getpid())
        path.write_bytes(bytes(_RECORD.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _RECORD.size)

    def hit(self) -> None:
        now = time.monotonic_ns()
        bodies, first, _ = _RECORD.unpack_from(self._memory)
        _RECORD.pack_into(self._memory, 0, bodies + 1, first or now, now)


class _Own:
    """The counter of the process one is in, made when its first body runs."""

    counter: _Counter | None = None
    lock = threading.Lock()  # some peers run bodies in several threads

    @classmethod
    def forget(cls) -> None:
        cls.counter = None
        cls.lock = threading.Lock()


os.register_at_fork(after_in_child=_Own.forget)


def hit() -> None:
    """A body starts."""
    with _Own.lock:
        counter = _Own.counter
        if counter is None:
            counter = _Own.counter = _Counter()
        counter.hit()


def look(folder: Path) -> Seen:
    """What all processes have counted so far."""
    found = []
    for path in folder.iterdir():
        data = path.read_bytes()
        if len(data) == _RECORD.size:
            record = _RECORD.unpack(data)
            if record[0]:
                found.append(record)
    if not found:
        return Seen()
    return Seen(
        sum(bodies for bodies, _, _ in found),
        min(first for _, first, _ in found),
        max(last for _, _, last in found),
    )


def clear(folder: Path) -> None:
    """Let all processes count from nothing; no body may run meanwhile."""
    for path in folder.iterdir():
        with path.open("r+b") as file:  # not made anew: the processes have it mapped
            file.write(bytes(_RECORD.size))
