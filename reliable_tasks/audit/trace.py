"""One message's rows, followed one by one: what each may follow, and what it must say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reliable_tasks.core.message import FINAL_STATES, State
from reliable_tasks.core.outcome import HOOK_DELIVERIES
from reliable_tasks.core.reasons import BY_ANOTHER, Reason
from reliable_tasks.store.values import AuditEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reliable_tasks.store.values import AuditRow, Record

__all__ = ["MessageStory", "Violation", "told"]

Ev = AuditEvent

_ENDINGS = {
    Ev.SUCCEEDED: State.SUCCEEDED,
    Ev.FAILED: State.FAILED,
    Ev.REJECTED: State.FAILED,
    Ev.REVOKED: State.REVOKED,
    Ev.EXPIRED: State.REVOKED,
    Ev.IGNORED: State.REVOKED,
    Ev.PURGED: State.REVOKED,
}
_OF_THE_CLAIM = frozenset({Ev.SUCCEEDED, Ev.RETRY, Ev.IGNORED, Ev.REJECTED, Ev.DOOMED, Ev.STEP})
_GIVES_UP_CLAIM = frozenset({Ev.RETRY, Ev.RELEASED, Ev.UNKNOWN, Ev.REAPED, Ev.DOOMED, Ev.REJECTED})
_BY_THE_STORE = BY_ANOTHER | {Reason.DELIVERY_LIMIT}

Broken = tuple[str, str]
"""The name of an invariant, and what is wrong in words."""


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold.

    Attributes:
        invariant: its name, one of `INVARIANTS`.
        id: of the message; empty where it is of no single one.
        text: what is wrong, in words.
        seq: of the row of the trail where it shows; empty where none does.
    """

    invariant: str
    id: str
    text: str
    seq: str = ""

    def __str__(self) -> str:
        where = f" (row {self.seq})" if self.seq else ""
        return f"{self.invariant}: {self.id}{': ' if self.id else ''}{self.text}{where}"


class MessageStory:
    """Where a message stands by its rows so far.

    Args:
        row: its first one.
        record: what the store knows of it now.
        partial: rows before that one may be missing: take its numbers as they are.
        full: every transition leaves a row.
    """

    __slots__ = (
        "_attempt",
        "_delivery",
        "_due_ms",
        "_ending",
        "_expires_ms",
        "_fence",
        "_full",
        "_joined",
        "_limit",
        "_numbers_known",
        "_once",
        "_reason",
        "_replays",
        "_steps",
        "ended",
        "gone",
        "held",
    )

    def __init__(self, row: AuditRow, record: Record | None, *, partial: bool, full: bool) -> None:
        self._limit = record.max_deliveries if record else None
        self._expires_ms = record.expires_ms if record else None
        self._once = record is None or record.once_key is not None
        self._full = full
        self._numbers_known = not partial
        self._joined = partial or bool(record and record.mirrors)
        self._reset()
        self._fence = 0 if row.event == Ev.STARTED else row.fence
        of_a_claim = row.event in _OF_THE_CLAIM | _GIVES_UP_CLAIM | {Ev.FAILED}
        terminated = row.fields.get("reason") == Reason.TERMINATED
        self.held = partial and (of_a_claim or terminated)
        if partial:
            self._adopt(row)

    def _reset(self) -> None:
        self._attempt = 1
        self._delivery = 0
        self._due_ms = 0
        self._ending = ""
        self._reason = ""
        self._replays = 0
        self._steps: frozenset[str] = frozenset()
        self.ended = False
        self.gone = False
        self.held = False

    def _adopt(self, row: AuditRow) -> None:
        """Take a row's numbers for what comes before it."""
        started = row.event == Ev.STARTED
        self._attempt = row.attempt
        self._delivery = row.delivery - started
        if row.event in {Ev.RELEASED, Ev.UNKNOWN}:
            self._delivery += 1

    # One row after the other ---------------------------------------------------------------------

    def take(self, row: AuditRow, replays: int) -> Iterator[Broken]:
        """Follow one row; yields what is wrong with it.

        `replays` is how many dead letters have been replayed anywhere up to now: that may revive
        the messages that fell with them.
        """
        detail = row.fields
        if row.event == Ev.DROPPED:
            self.gone = True  # by hand after its end, or with a workflow that was not stored whole
            if detail.get("reason") == "abandoned":
                self.ended, self._ending = True, row.event
            return
        if self.ended:
            yield from self._after_the_end(row, replays)
        match row.event:
            case Ev.ENQUEUED:
                self._reset()
            case Ev.REPLAYED:
                if self._numbers_known and not self.ended:
                    yield "one ending", "it was replayed, and had not ended"
                self._reset()
            case Ev.STARTED:
                yield from self._started(row)
            case Ev.JOINED:
                # It came without its once-key, was given back, and waits for the key's holder.
                self._joined, self.held, self._delivery = True, False, row.delivery
            case _:
                yield from self._of_the_claim(row, detail)
        if row.event in _ENDINGS and not (row.event == Ev.REJECTED and detail.get("requeue")):
            self._end(row, detail, replays)

    def _after_the_end(self, row: AuditRow, replays: int) -> Iterator[Broken]:
        """Only another life may follow: the id is used again, or it is replayed or revived."""
        if row.event in {Ev.ENQUEUED, Ev.REPLAYED}:
            if row.event == Ev.REPLAYED and self._ending not in {Ev.FAILED, Ev.REJECTED}:
                yield "one ending", f"it was replayed, and had ended as {self._ending}"
            return
        revived = self._reason in BY_ANOTHER and replays > self._replays
        if not revived:
            yield "one ending", f"it had ended as {self._ending}, and was {told(row)} afterwards"
        attempt, delivery, fence = self._attempt, self._delivery, self._fence
        self._reset()
        self._attempt, self._delivery, self._fence = attempt, delivery, fence

    def _started(self, row: AuditRow) -> Iterator[Broken]:
        if not self._full:
            self._numbers_known = False
        given_back = self.held and row.delivery == self._delivery and self._once
        if self.held and not given_back:
            # A message that came without its once-key goes back to be keyed without a row of its
            # own, and that claim is not counted.
            yield "claims", f"it was started with fence {row.fence} while {self._fence} held it"
        if row.fence <= self._fence:
            yield "fences", f"it was started with fence {row.fence} after {self._fence}"
        expected = (self._attempt, self._delivery + (not given_back))
        if self._numbers_known and (row.attempt, row.delivery) != expected:
            yield (
                "limits",
                (
                    f"it was started as attempt {row.attempt}, delivery {row.delivery}, not as "
                    f"attempt {expected[0]}, delivery {expected[1]}"
                ),
            )
        if self._limit is not None and row.delivery > self._limit + HOOK_DELIVERIES:
            yield "limits", f"it was delivered {row.delivery} times, of {self._limit}"
        if row.at_ms < self._due_ms:
            yield "times", f"it was started {self._due_ms - row.at_ms} ms before its retry was due"
        if self._expires_ms is not None and row.at_ms >= self._expires_ms:
            yield "times", f"it was started {row.at_ms - self._expires_ms} ms after it had expired"
        self._attempt, self._delivery, self._fence = row.attempt, row.delivery, row.fence
        self._numbers_known = self._full
        self.held = True

    def _of_the_claim(self, row: AuditRow, detail: dict[str, Any]) -> Iterator[Broken]:
        """What a worker committed, or what was taken from it."""
        if self._full:
            yield from self._by_the_holder(row, detail)
        if row.event == Ev.STEP:
            name = str(detail.get("step"))
            if name in self._steps:
                yield "steps", f"its step {name!r} was recorded twice"
            self._steps |= {name}
        elif row.event == Ev.RETRY:
            limit = detail.get("max_retries")
            if isinstance(limit, int) and row.attempt > limit:
                yield "limits", f"retry {row.attempt} of at most {limit}"
            self._due_ms = _due(row, detail)
            self._attempt, self._delivery = row.attempt + 1, 0
        elif row.event in {Ev.RELEASED, Ev.UNKNOWN}:
            self._delivery = row.delivery
        if row.event in _GIVES_UP_CLAIM:
            self.held = False

    def _by_the_holder(self, row: AuditRow, detail: dict[str, Any]) -> Iterator[Broken]:
        # What the store ends by itself has a reason and no exception.
        by_store = detail.get("reason") in _BY_THE_STORE and "exception" not in detail
        committed = row.event in _OF_THE_CLAIM or (row.event == Ev.FAILED and not by_store)
        committed |= detail.get("reason") == Reason.TERMINATED
        mirrored = self._joined and row.event == Ev.SUCCEEDED
        if (committed or row.event in _GIVES_UP_CLAIM) and not self.held and not mirrored:
            yield "claims", f"it was {told(row)} although no claim held it"
        if row.fence != self._fence and (committed or self.held):
            yield "fences", f"it was {told(row)} by fence {row.fence}; the latest is {self._fence}"
        counted = self._delivery - (row.event in {Ev.RELEASED, Ev.UNKNOWN})
        # Uncounted as in `_started`: it went back to be keyed, and was ended while it waited.
        keyed = self._once and not committed and row.delivery == counted - 1
        if self.held and not keyed and (row.attempt, row.delivery) != (self._attempt, counted):
            yield (
                "limits",
                (
                    f"it was {told(row)} as attempt {row.attempt}, delivery {row.delivery}, "
                    f"started as attempt {self._attempt}, delivery {self._delivery}"
                ),
            )

    def _end(self, row: AuditRow, detail: dict[str, Any], replays: int) -> None:
        self.ended = True
        self.held = False
        self._ending = row.event
        self._reason = str(detail.get("reason") or "")
        self._replays = replays

    # The end of the story ------------------------------------------------------------------------

    def compare(self, record: Record, replays: int) -> Iterator[Broken]:
        """Hold its record against it."""
        if self.gone:
            yield "records", "there is a record of it, and by the trail it was dropped"
            return
        final = record.state in FINAL_STATES
        revived = self._reason in BY_ANOTHER and replays > self._replays
        if self.ended and not revived:
            expected = _ENDINGS[AuditEvent(self._ending)]
            if record.state != expected:
                yield "one ending", f"its record is {record.state}; it had ended as {self._ending}"
        elif final and not self.ended and self._full:
            yield "records", f"its record is {record.state}, and the trail tells of no ending"
        if not self._full or self.ended:
            return
        if record.state == State.RUNNING and not self.held:
            yield "records", "its record is running, and by the trail no claim holds it"
        if self.held and record.state != State.RUNNING and not (self._once or record.mirrors):
            yield "records", f"its record is {record.state}, and by the trail a claim holds it"
        if record.fence != self._fence:
            yield "records", f"its record has fence {record.fence}, the trail {self._fence}"
        if record.attempt != self._attempt:
            yield "records", f"its record is at attempt {record.attempt}, not {self._attempt}"


_VERBS: dict[str, str] = {
    Ev.RETRY: "retried",
    Ev.UNKNOWN: "given back by a worker that did not know its task",
    Ev.STEP: "given the outcome of a step",
}


def told(row: AuditRow) -> str:
    """What happened to the message, behind "it was"."""
    return _VERBS.get(row.event, row.event)


def _due(row: AuditRow, detail: dict[str, Any]) -> int:
    """Before when a retry may not start, at the earliest that its row allows for."""
    delay = detail.get("delay")
    if not isinstance(delay, int | float):
        return 0
    due = row.at_ms + round(delay * 1000)
    next_at = detail.get("next_at")  # by the worker's reckoning; exact where an eta was given
    return min(due, next_at) if isinstance(next_at, int) else due
