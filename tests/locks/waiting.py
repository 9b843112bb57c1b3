"""Waiting for something to come true, with a bound."""

import asyncio
import time
from collections.abc import Callable

from tests.patience import PATIENCE_S

__all__ = ["eventually", "eventually_async"]


def eventually(condition: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> None:
    """Return once `condition` holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.005)


async def eventually_async(
    condition: Callable[[], object], what: str, seconds: float = PATIENCE_S
) -> None:
    """As `eventually`, and the event loop goes on meanwhile."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.005)
