"""What bodies have written down, read on as it grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Attempt", "Trail"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a body; instants are nanoseconds of the monotonic clock.

    Attributes:
        number: the message's.
        pid: of the process that ran it.
        began: when.
        ended: when it came to its end; None if it never did.
    """

    number: int
    pid: int
    began: int
    ended: int | None = None


class Trail:
    """The file that `benchmarks.marks` writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._found: dict[tuple[int, int, int], Attempt] = {}

    def attempts(self) -> list[Attempt]:
        """Those of now, in the order in which they began to be."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._at)
                whole = file.read().rpartition(b"\n")[0]
            self._at += len(whole) + bool(whole)
            for line in whole.decode().splitlines():
                self._take(line)
        return list(self._found.values())

    def _take(self, line: str) -> None:
        kind, *words = line.split()
        number, pid, began, *rest = map(int, words)
        ended = rest[0] if kind == "end" else None
        self._found[number, pid, began] = Attempt(number, pid, began, ended)
