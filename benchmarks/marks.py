"""Bodies that write down when they begin and when they end, so that what became of each is known.

A line is one write at the end of a file, which survives whatever happens to the process. Nothing
but the standard library is imported here, for every peer's environment loads this.
"""

from __future__ import annotations

import asyncio
import os
import time

__all__ = ["FILE", "async_nap", "nap"]

FILE = "BENCH_MARKS"


def _write(kind: str, number: int, *instants: int) -> None:
    line = " ".join([kind, *map(str, (number, os.getpid(), *instants))]) + "\n"
    fd = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def _begin(number: int) -> int:
    began = time.monotonic_ns()
    _write("begin", number, began)
    return began


def _end(number: int, began: int) -> str:
    _write("end", number, began, time.monotonic_ns())
    return f"{os.getpid()}.{began}"


def nap(number: int, milliseconds: int) -> str:
    """Sleep, and record it; returns a value that is unique to this attempt."""
    began = _begin(number)
    time.sleep(milliseconds / 1000)
    return _end(number, began)


async def async_nap(number: int, milliseconds: int) -> str:
    """The same, for peers whose bodies are coroutines."""
    began = _begin(number)
    await asyncio.sleep(milliseconds / 1000)
    return _end(number, began)
