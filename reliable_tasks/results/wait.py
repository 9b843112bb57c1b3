"""How `AsyncResult.get` waits: without polling, and patiently while the store is away."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from reliable_tasks.core import checks, clock, context
from reliable_tasks.core.message import FINAL_STATES, State
from reliable_tasks.core.reasons import Reason
from reliable_tasks.errors import StoreUnavailable
from reliable_tasks.errors import TimeoutError as ResultTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.store.values import Record

__all__ = [
    "LONGEST_WAIT_S",
    "Handle",
    "allow_join_result",
    "not_ended",
    "wait_for_end",
    "wait_span",
]

LONGEST_WAIT_S = 1.0  # a notification that went missing costs no more than this
_STORE_AWAY_S = 60.0  # how long a store may be away while somebody waits for a result
_STORE_PAUSE_S = 0.1


class Handle(Protocol):
    """What waiting needs of an `AsyncResult`."""

    id: str
    version: int
    app: AppContext

    def found(self, record: Record | None) -> Record | None: ...  # noqa: D102 - see AsyncResult
    def tell_if_gone(self) -> None: ...  # noqa: D102
    def successful(self) -> bool: ...  # noqa: D102
    def get(self, *, disable_sync_subtasks: bool = True) -> Any: ...  # noqa: D102


class allow_join_result:  # noqa: N801 - Celery's name
    """A `with` block inside a task's body in which `get()` is allowed."""

    def __enter__(self) -> None:
        self._token = context.forbid_waiting.set(False)

    def __exit__(self, *_: object) -> None:
        context.forbid_waiting.reset(self._token)


def wait_span(timeout: Any) -> float | None:
    """A `timeout` in seconds; None for no limit.

    Raises:
        ConfigError: it is neither a number of seconds nor a timedelta.
    """
    if timeout is None or (isinstance(timeout, float) and timeout == math.inf):
        return None
    return checks.span("timeout", timeout)


def not_ended(result: Handle, timeout: float | None, others: str = "") -> str:
    """The error text for a message that had not ended when it was last read."""
    said = f"message {result.id}{others} had not ended after {timeout:g} s"
    if result.version >= 0:
        return said
    receipt = getattr(result, "receipt", None)
    if receipt is not None and receipt.kind == "published":
        return f"{said}: it was published to the broker, and nothing was told of it yet"
    return f"{said}: the store has no message with this id, now (its exists() says whether it has)"


def wait_for_end(
    result: Handle,
    read: Callable[[], Record | None],
    read_ended: Callable[[float], Record | None],
    timeout: float | None,
    tell: Callable[[Record], object] | None = None,
    on_interval: Callable[[], Any] | None = None,
) -> Record:
    """Wait until a message has ended.

    Args:
        result: the handle on it.
        read: gives its present record.
        read_ended: gives its record once it has ended, waiting for so many seconds.
        timeout: in seconds; None waits for ever.
        tell: called with the record at each progress report.
        on_interval: called after each wait of at most a second.

    Raises:
        ConfigError: the timeout is not a span.
        TimeoutError: it had not ended in time.
        ResultGone: it was there, and is no more.
        StoreUnavailable: the store could not be reached: at first, or later for a minute.
    """
    timeout = wait_span(timeout)
    deadline = None if timeout is None else clock.monotonic() + timeout
    look = read_ended if tell is None else _listening(result, read, tell)
    patience_s = 0.0  # a store that is away from the start is told at once

    def ask(asked: Callable[[float], Record | None], wait_s: float) -> Record | None:
        nonlocal patience_s
        until = clock.monotonic() + patience_s
        answer = _patiently(asked, wait_s, until if deadline is None else min(until, deadline))
        patience_s = _STORE_AWAY_S  # it was there: from now on it will be back
        return answer

    while True:
        left = LONGEST_WAIT_S if deadline is None else deadline - clock.monotonic()
        record = ask(look, max(0.0, min(left, LONGEST_WAIT_S)))
        if record is not None and record.state in FINAL_STATES:
            return record
        if record is None:  # not ended, or not there: the second is rare, and asked for last
            record = ask(lambda _: read(), 0.0)
            if record is not None and record.state in FINAL_STATES:
                return record
            result.tell_if_gone()
        if left <= 0:
            raise ResultTimeoutError(not_ended(result, timeout))
        if on_interval is not None:
            on_interval()


def _listening(
    result: Handle,
    read: Callable[[], Record | None],
    tell: Callable[[Record], object],
) -> Callable[[float], Record | None]:
    """A read that, after the first time, waits for news, and reports progress.

    The progress that was made last is reported before the end, however soon that came.
    """
    looked = False
    told: tuple[Any, ...] | None = None

    def look(wait_s: float) -> Record | None:
        nonlocal looked, told
        if looked:
            result.app.store.wait({result.id: result.version}, wait_s)
        record = read()
        looked = True
        if record is None or record.progress_state is None:
            return record
        ended, made = record.state in FINAL_STATES, (record.progress_state, record.progress_meta)
        if ended and record.reason != Reason.IGNORED and (told is None or told[1:] != made):
            tell(msgspec.structs.replace(record, state=State.RUNNING, failure=None, ended_ms=None))
        elif not ended and told != (record.version, *made):
            tell(record)
        told = (record.version, *made)
        return record

    return look


def _patiently(
    look: Callable[[float], Record | None], wait_s: float, until: float
) -> Record | None:
    """Read, retrying while the store is unavailable until `until`."""
    while True:
        try:
            return look(wait_s)
        except StoreUnavailable:
            if clock.monotonic() >= until:
                raise
            clock.sleep(_STORE_PAUSE_S)
