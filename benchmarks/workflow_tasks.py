"""The program that `benchmarks.workflows` measures: its tasks, and a producer of one chord."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from reliable_tasks import App, chord

__all__ = ["add", "app", "xsum"]

app = App("workflows", broker=os.environ["STORE_URL"], set_as_current=False)


@app.task(name="add")
def add(x: int, y: int) -> int:
    """A body that costs nothing, so that what is measured is the workflow."""
    return x + y


@app.task(name="xsum")
def xsum(values: list[int]) -> int:
    """The body of the chord."""
    return sum(values)


def _peak_kib() -> int:
    """Its peak memory; that of `getrusage` would start with what the parent process had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _produce(size: int) -> None:
    """Enqueue a chord; print how long it took, the memory it needed, and its ids."""
    app.store.now_ms()  # so that connecting is not measured
    began = time.monotonic()
    result = chord([add.s(i, 1) for i in range(size)], xsum.s())()
    seconds = time.monotonic() - began
    peak_kib = _peak_kib()
    members = [leaf.id for leaf in result.parent.leaves()]
    app.close()
    report = {"seconds": seconds, "peak_kib": peak_kib, "body": result.id, "members": members}
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    _produce(int(sys.argv[1]))
