"""How bodies under test say what they did: lines appended to a file, one write each."""

from __future__ import annotations

import json
import os
import time

from reliable_tasks.core import context

__all__ = ["mark"]


def mark(kind: str, **more: object) -> None:
    """Note that the running body has come here; survives whatever happens to its process.

    `more` are further fields of the line, of which the tests in this folder want none.
    """
    running = context.current_attempt.get()
    request = running.request if running else None
    line = {
        "kind": kind,
        "at": time.monotonic(),
        "pid": os.getpid(),
        "id": (request and request.id) or "",
        "attempt": request.attempt if request else 0,
        "fence": request.fence if request else 0,
        **more,
    }
    fd = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(fd, json.dumps(line).encode() + b"\n")
    finally:
        os.close(fd)
