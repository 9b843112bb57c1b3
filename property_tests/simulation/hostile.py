"""What user code does without meaning any harm, and the tasks of a simulated world that do it.

A deed is what happens, a place is where: a body, one of its hooks, a receiver, a policy's function.
Both are arguments of the call, so that a message always misbehaves in the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from reliable_tasks.core.context import current_attempt
from reliable_tasks.core.retry import RetryPolicy
from reliable_tasks.errors import Retry
from tests.hostile import places
from tests.hostile.hooks import RECEIVERS, task_with_hooks
from tests.hostile.misdeeds import Mute, OwnBaseError, Unutterable

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from property_tests.simulation.witness import Witness
    from reliable_tasks.app import App
    from reliable_tasks.tasks.task import Task

__all__ = [
    "EXITS",
    "FATAL",
    "HANGS",
    "HOSTILE_RETRIES",
    "PLACES",
    "RAISING",
    "draw",
    "receiving",
    "register",
]

HOSTILE_RETRIES = 1
HANGS = "never ends"
EXITS, KILLED = "exits with code 0", "is killed"
FATAL = {HANGS, EXITS, KILLED}
"""Deeds after which nothing of an attempt goes on."""

_AFTER_HOOK = places.RAISING.index("on_failure") + 1
RAISING = (*places.RAISING[:_AFTER_HOOK], "burial", *places.RAISING[_AFTER_HOOK:])
"""Places that are reached when the body raises; "burial" when its process dies each time."""
_OF_PROCESSES = {"coroutine", "step"}
PLACES = (*(p for p in places.PLACES if p not in {*_OF_PROCESSES, *RAISING}), *RAISING)
_RETRYING = {"retry wait", "on_retry"}


def _raising(make: Callable[[], BaseException]) -> Callable[[], Any]:
    def do() -> None:
        raise make()

    return do


def _unpackable() -> BaseException:
    asked = Retry("again", when=0.5)
    asked.priority = 10**30
    return asked


_DEEDS: dict[str, Callable[[], Any]] = {
    "SystemExit": _raising(lambda: SystemExit(0)),
    "KeyboardInterrupt": _raising(KeyboardInterrupt),
    "CancelledError": _raising(asyncio.CancelledError),
    "GeneratorExit": _raising(GeneratorExit),
    "an error of its own": _raising(OwnBaseError),
    "an error that cannot be shown": _raising(Unutterable),
    "a retry in 10^17 s": _raising(lambda: Retry("again", when=1e17)),
    "a retry that cannot be packed": _raising(_unpackable),
    "a value that cannot be encoded": Mute,
    "a delay that is no number": lambda: float("nan"),
}

_OF_A_BODY = ("a retry that cannot be packed", "a value that cannot be encoded")


def draw(rng: random.Random, *, limited: bool) -> tuple[str, str]:
    """A place and a deed; only what a time limit ends may go on for ever."""
    place = rng.choice(PLACES)
    deeds = [*_DEEDS, *([EXITS, KILLED] * 3), *(_OF_A_BODY * 3 if place == "body" else ())]
    if limited:
        deeds += [HANGS] * len(deeds)
    elif place == "burial":
        deeds += [HANGS] * (len(deeds) // 4)
    return place, rng.choice(deeds)


class _Doer:
    """Does the deed of the call that runs now, where its place is this one."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    def does(self, place: str, deed: str) -> Any:
        """It ends the process, never returns, or is a matter of Python's own."""
        self._witness.misbehaves(place, deed)
        return None if deed in FATAL else _DEEDS[deed]()

    def at(self, place: str, call: Any = None) -> Any:
        """The deed, if this is its place."""
        if call is None:
            running = current_attempt.get()
            call = running.request.args if running is not None else ()
        return self.does(place, call[1]) if call and call[0] == place else None


def _task_of(doer: _Doer) -> type[Task[Any, Any]]:
    def at(_: Any, place: str, call: Any) -> None:
        doer.at(place, call)
        if place == "on_failure":
            doer.at("burial", call)

    return task_with_hooks(at)


def _policy_of(doer: _Doer) -> RetryPolicy:
    class Wait:
        def __call__(self, state: Any) -> float:
            said = doer.at("retry wait", state.args)
            return 0.5 if said is None else said

    def predicate(state: Any) -> bool:
        doer.at("retry predicate", state.args)
        return bool(state.outcome.failed and state.args[0] in _RETRYING)

    return RetryPolicy(wait=Wait(), retry=predicate, max_retries=HOSTILE_RETRIES)


def register(app: App, witness: Witness, hard_limit_s: float) -> None:
    """Two hostile tasks; what never ends is of the one with a limit, or of a burial."""
    doer = _Doer(witness)
    options = {"bind": True, "base": _task_of(doer), "retry_policy": _policy_of(doer)}

    def body(self: Any, place: str, deed: str) -> Any:
        witness.effect(self)
        if place == "burial":
            doer.does("body", KILLED)
        if place in RAISING:
            raise ValueError("so that its place is reached")
        return doer.at("body", (place, deed))

    app.task(name="hostile", **options)(body)
    app.task(name="hostile_limited", time_limit=hard_limit_s, **options)(body)


@contextlib.contextmanager
def receiving(witness: Witness) -> Iterator[None]:
    """Within the block, the receivers of signals are hostile, too."""
    doer = _Doer(witness)
    connected = []
    for place, signal in RECEIVERS.items():
        receiver = _receiver(doer, place)
        for task in ("hostile", "hostile_limited"):
            signal.connect(receiver, sender=task)
            connected.append((signal, receiver, task))
    try:
        yield
    finally:
        for signal, receiver, task in connected:
            signal.disconnect(receiver, sender=task)


def _receiver(doer: _Doer, place: str) -> Callable[..., None]:
    def receiver(**_: Any) -> None:
        doer.at(place)

    return receiver
