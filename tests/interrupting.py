"""Does something in the midst of a call, where the handler of a signal could.

Handlers run when a Python function has been entered and when a function written in C has returned,
in whichever module; those are the events that a profiler is told of, and there it acts.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["MOST", "Interruption", "amid", "interrupt", "interruptions"]

MOST = 100_000


class Interruption(BaseException):
    """As KeyboardInterrupt, but nobody else's."""


def amid(call: Callable[[], object], at: int, act: Callable[[], object]) -> bool:
    """Make the call, and `act` in its midst, after `at` events; False if it was over before."""
    left = at

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal left
        if event in {"call", "c_return"}:
            left -= 1
            if left < 0:
                sys.setprofile(None)
                act()

    before, kept = sys.getprofile(), gc.callbacks[:]
    gc.callbacks.clear()  # Hypothesis has one in it, and what is raised there is nobody's to hear
    try:
        sys.setprofile(count)
        call()
    finally:
        sys.setprofile(before)
        gc.callbacks.extend(kept)
    return left < 0


def interrupt(call: Callable[[], object], at: int) -> Interruption | None:
    """Make the call, interrupted after `at` events; None where it was over before."""

    def interrupt_it() -> None:
        raise Interruption

    told = list[BaseException | None]()  # of a `__del__`, out of which Python lets nothing
    before, sys.unraisablehook = sys.unraisablehook, lambda what: told.append(what.exc_value)
    try:
        swallowed = amid(call, at, interrupt_it)
    except Interruption as exc:
        return exc  # with its traceback, which keeps alive what an interpreter's prompt would
    finally:
        sys.unraisablehook = before
    if swallowed:
        (lost,) = told
        assert isinstance(lost, Interruption), lost
        return lost
    return None


def interruptions(
    make: Callable[[], Callable[[], object]], stride: int = 1
) -> Iterator[Interruption]:
    """Interrupt calls that `make` gives, each one later, until one is over before."""
    for at in range(0, MOST, stride):
        interrupted = interrupt(make(), at)
        if interrupted is None:
            return
        yield interrupted
    raise AssertionError("the call never ended")
