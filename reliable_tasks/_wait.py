"""How `AsyncResult.get` waits: without polling, and patiently while the store is away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import clock
from .errors import StoreUnavailable
from .errors import TimeoutError as ResultTimeoutError
from .message import FINAL_STATES

if TYPE_CHECKING:
    from collections.abc import Callable

    from .result import AsyncResult
    from .store.values import Record

__all__ = ["wait_for_end"]

_LONGEST_WAIT_S = 1.0  # a notification that went missing costs no more than this
_STORE_AWAY_S = 60.0  # how long a store may be away while somebody waits for a result
_STORE_PAUSE_S = 0.1


def wait_for_end(
    result: AsyncResult[Any],
    read: Callable[[], Record | None],
    timeout: float | None,
    tell: Callable[[Record], object] | None = None,
    on_interval: Callable[[], Any] | None = None,
) -> Record:
    """Wait until a message has ended.

    Args:
        result: the handle on it.
        read: gives its present record.
        timeout: in seconds; None waits for ever.
        tell: called with the record at each progress report.
        on_interval: called after each wait of at most a second.

    Raises:
        TimeoutError: it had not ended in time.
        StoreUnavailable: the store could not be reached: at first, or later for a minute.
    """
    deadline = None if timeout is None else clock.monotonic() + timeout
    told: int | None = None
    record = read()  # a store that is away from the start is told at once

    def look(wait_s: float) -> Record | None:
        result.app.store.wait({result.id: result.version}, wait_s, ended=tell is None)
        return read()

    while True:
        if record is not None and record.state in FINAL_STATES:
            return record
        news = record is not None and record.progress_state is not None
        if tell is not None and news and record and told != record.version:
            told = record.version
            tell(record)
        left = _LONGEST_WAIT_S if deadline is None else deadline - clock.monotonic()
        if left <= 0:
            raise ResultTimeoutError(f"message {result.id} had not ended after {timeout:g} s")
        patient_until = clock.monotonic() + _STORE_AWAY_S
        if deadline is not None:
            patient_until = min(patient_until, deadline)
        record = _patiently(look, min(left, _LONGEST_WAIT_S), patient_until) or record
        if on_interval is not None:
            on_interval()


def _patiently(
    look: Callable[[float], Record | None], wait_s: float, until: float
) -> Record | None:
    """Look, and again while the store is away, but not past `until`."""
    while True:
        try:
            return look(wait_s)
        except StoreUnavailable:
            if clock.monotonic() >= until:
                raise
            clock.sleep(_STORE_PAUSE_S)
