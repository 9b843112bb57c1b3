"""What became of the messages: a pure function of what bodies wrote down, and of the faults.

Instants are nanoseconds of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from .trail import Attempt

__all__ = ["JUST_ENDED_S", "Fault", "Verdict", "interrupted", "judge"]

JUST_ENDED_S = 0.5
"""A body that ended so shortly before a fault may have been unable to have its outcome stored."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was done to a system.

    Attributes:
        kind: "kill" (a worker's processes), "stop" (the same, continued later) or "store".
        at: when.
        until: until when it lasted: the processes were gone, went on, or the store was back.
        pids: the processes that were killed or stopped; a fault of the store hits all there are.
    """

    kind: str
    at: int
    until: int
    pids: frozenset[int] = frozenset()

    def hit(self, attempt: Attempt) -> bool:
        """Whether the fault found an attempt running, or its outcome perhaps not yet stored."""
        if self.kind != "store" and attempt.pid not in self.pids:
            return False
        ended = attempt.ended
        return attempt.began <= self.until and (
            ended is None or ended >= self.at - JUST_ENDED_S * 1e9
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of the messages.

    Attributes:
        lost: acknowledged, never run to the end, and not kept any more.
        parked: not run to the end either, but still kept.
        twice: run to the end more than once.
        twice_unhit: of these, those whose attempts no fault can explain: two or more of them came
            to their end, and were not running when something was killed or stopped.
        interrupted: attempts that were running at a fault which ended or stopped them.
        recovery_s: for each fault that left something to do, how long it took until work went on:
            from the kill, or the stop, to the first new attempt of a message that it interrupted;
            from the store's return to the next attempt. None where that never came.
    """

    lost: int
    parked: int
    twice: int
    twice_unhit: int
    interrupted: int
    recovery_s: tuple[float | None, ...]


def judge(
    attempts: Sequence[Attempt],
    faults: Sequence[Fault],
    acknowledged: Collection[int],
    waiting: Collection[int],
) -> Verdict:
    """Say what became of the messages.

    Args:
        attempts: of all bodies.
        faults: in their order.
        acknowledged: messages whose enqueue has returned.
        waiting: messages that the system still keeps and has not ended.
    """
    completed = [attempt for attempt in attempts if attempt.ended is not None]
    times = Counter(attempt.number for attempt in completed)
    unhit = Counter(a.number for a in completed if not any(fault.hit(a) for fault in faults))
    missing = set(acknowledged) - set(times)
    return Verdict(
        lost=len(missing - set(waiting)),
        parked=len(missing & set(waiting)),
        twice=sum(count > 1 for count in times.values()),
        twice_unhit=sum(count > 1 for count in unhit.values()),
        interrupted=sum(len(interrupted(attempts, fault)) for fault in faults),
        recovery_s=tuple(
            recovery for fault in faults for recovery in _recovery(attempts, fault, acknowledged)
        ),
    )


def interrupted(attempts: Sequence[Attempt], fault: Fault) -> list[Attempt]:
    """The attempts that were running when their processes were killed or stopped."""
    if fault.kind == "store":
        return []
    return [
        a
        for a in attempts
        if a.pid in fault.pids
        and a.began <= fault.at
        and (a.ended is None or (fault.kind == "stop" and a.ended > fault.at))
    ]


def _recovery(
    attempts: Sequence[Attempt], fault: Fault, acknowledged: Collection[int]
) -> list[float | None]:
    """How long work took to go on after a fault; nothing if there was none to do."""
    if fault.kind == "store":
        done = {a.number for a in attempts if a.ended is not None and a.ended <= fault.until}
        due, since = set(acknowledged) - done, fault.until
    else:
        due, since = {a.number for a in interrupted(attempts, fault)}, fault.at
    if not due:
        return []
    hit = fault.pids if fault.kind == "stop" else frozenset()
    begins = [a.began for a in attempts if a.number in due and a.began > since and a.pid not in hit]
    return [(min(begins) - since) / 1e9 if begins else None]
