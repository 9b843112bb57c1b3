"""Whom a transaction wakes, and by which file."""

from reliable_tasks import events
from reliable_tasks.core.filewatch import Watches, tell
from reliable_tasks.store.sqlite.stamp import log_of

__all__ = ["News"]


class News:
    """How those who wait for something in a file are told of it.

    Args:
        path: of the file; None for a store in memory, where one looks.

    Attributes:
        of_work: what wakes those who want to claim.
        of_changes: what wakes those who wait for a change of what is there.
        of_all: what wakes those who wait for what is not there yet.
    """

    def __init__(self, path: str | None) -> None:
        self._path, self._said = path, False
        self._files = () if path is None else (log_of(path), path)
        self.of_work = Watches(self._files[:1], self._say)
        self.of_changes = Watches(self._files[1:], self._say)
        self.of_all = Watches(self._files, self._say)

    def tell(self, *, work: bool, changes: bool) -> None:
        """Tell of a transaction that was committed."""
        for file, has_some in zip(self._files, (work, changes), strict=False):
            if has_some:
                tell(file)

    def close(self) -> None:
        """Let go of the watches: a user of the system may have few of them."""
        for watches in (self.of_work, self.of_changes, self.of_all):
            watches.close()

    def _say(self, why: str) -> None:
        if not self._said:
            self._said = True
            events.emit("store.not_watched", store=self._path, reason=why)
