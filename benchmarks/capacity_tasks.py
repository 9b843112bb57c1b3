"""The program of the workers that `capacity` runs: a body that takes its time."""

from __future__ import annotations

import os
import time

from reliable_tasks import App

__all__ = ["URL", "app", "rest"]

URL = "CAPACITY_URL"
app = App("capacity", broker=os.environ.get(URL, "memory://"), set_as_current=False)


@app.task(name="rest")
def rest(seconds: float, padding: str = "") -> str:
    """Sleep, and return what it was given."""
    if seconds:
        time.sleep(seconds)
    return padding
