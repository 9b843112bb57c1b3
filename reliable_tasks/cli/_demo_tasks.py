"""The tasks of `demo`: what its worker imports, as it would import yours."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reliable_tasks import App, OnceTask, signals
from reliable_tasks.core.clock import sleep

if TYPE_CHECKING:
    from reliable_tasks.tasks.task import Task

__all__ = ["MARKS", "MAX_RETRIES", "app", "checksum"]

MARKS = "DEMO_MARKS_FOLDER"
"""Names the folder where each worker process keeps a file: what it is in the middle of."""

MAX_RETRIES = 5
_CHUNK = 1 << 16

app = App("demo", set_as_current=False)


class NotYet(OSError):
    """The file cannot be read just now; the demo makes this up for some files."""


class _Mark:
    """Tells whoever looks on which message this process is in the middle of.

    A real task needs no such thing. The demo does: it wants to kill a process in the middle of a
    body, and to say afterwards which message that was.
    """

    def __init__(self) -> None:
        self._fd: int | None = None

    def open(self, **_: object) -> None:
        """Start the file of this process; called where a worker process begins."""
        folder = os.environ.get(MARKS)
        if folder:
            path = Path(folder, str(os.getpid()))
            self._fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)

    def set(self, text: str) -> None:
        """What it is in the middle of; nothing for an empty text."""
        if self._fd is not None:
            os.pwrite(self._fd, text.ljust(64).encode(), 0)


_mark = _Mark()
signals.worker_process_init.connect(_mark.open)


@app.task(
    bind=True,
    base=OnceTask,
    once={"keys": ["path"], "graceful": True},
    autoretry_for=(OSError,),
    retry_backoff=0.25,
    max_retries=MAX_RETRIES,
)
def checksum(self: Task[Any, Any], path: str, stumbles: int = 0, pace_s: float = 0.0) -> str:
    """The SHA-256 of a file.

    The first `stumbles` attempts raise `NotYet`, and each takes `pace_s` seconds or longer, as if
    the disk were slow.
    """
    _mark.set(self.request.id or "")
    try:
        sleep(pace_s)
        if self.request.retries < stumbles:
            raise NotYet(f"{Path(path).name} is busy, says attempt {self.request.attempt}")
        digest = hashlib.sha256()
        with Path(path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()
    finally:
        _mark.set("")
