"""The checker on rows and records written by hand: what may follow what."""

from typing import Any

import msgspec
import pytest

from reliable_tasks.audit.verify import INVARIANTS, NEED_FULL_TRAIL, Violation, verify
from reliable_tasks.core.message import State
from reliable_tasks.store.values import AuditRow, Record, SessionInfo
from tests.audit.test_verify import invariants

replace = msgspec.structs.replace


def trail(*events: str | tuple[str, dict[str, Any]]) -> tuple[AuditRow, ...]:
    """Rows of one message, one a second: each an event, or an event and its fields."""
    rows = []
    for i, event in enumerate(events, 1):
        name, fields = (event, {}) if isinstance(event, str) else event
        rows.append(AuditRow(seq=str(i), at_ms=i * 1000, event=name, id="m", **fields))
    return tuple(rows)


def claim(fence: int, attempt: int = 1, delivery: int = 1, **more: Any) -> dict[str, Any]:
    return {"fence": fence, "attempt": attempt, "delivery": delivery, **more}


ENQUEUED = ("enqueued", claim(0, delivery=0))
NEVER_WHOLE = ("dropped", claim(0, delivery=0, detail=b'{"reason":"abandoned"}'))
PARENT = ("failed", claim(0, delivery=0, detail=b'{"reason":"parent"}'))


@pytest.mark.parametrize(
    ("rows", "invariant"),
    [
        (trail(ENQUEUED, ("started", claim(1)), ("succeeded", claim(1))), None),
        (trail(("started", claim(1)), ("succeeded", claim(1))), "conservation"),
        (trail(ENQUEUED, NEVER_WHOLE), None),
        (trail(ENQUEUED, NEVER_WHOLE, ("started", claim(1))), "one ending"),
        (trail(ENQUEUED, ("succeeded", claim(0, delivery=0))), "claims"),
        (trail(ENQUEUED, ("started", claim(2)), ("succeeded", claim(1))), "fences"),
        (
            trail(ENQUEUED, ("started", claim(1)), ("started", claim(2, delivery=2)))
            + trail("", "", "", ("succeeded", claim(2, delivery=2)))[3:],
            "claims",
        ),
        (
            trail(ENQUEUED, ("started", claim(1)), ("succeeded", claim(1)), ("retry", claim(1))),
            "one ending",
        ),
        (
            trail(ENQUEUED, ("started", claim(1)), ("succeeded", claim(1)), ("replayed", claim(1)))
            + trail("", "", "", "", ("revoked", claim(1, delivery=0)))[4:],
            "one ending",
        ),
        (
            trail(
                ENQUEUED,
                ("started", claim(1)),
                ("retry", claim(1, detail=b'{"delay":0.5,"max_retries":0}')),
                ("revoked", claim(1)),
            ),
            "limits",
        ),
        (
            trail(
                ENQUEUED,
                ("started", claim(1)),
                ("retry", claim(1, detail=b'{"delay":60}')),
                ("started", claim(2, attempt=2)),
                ("succeeded", claim(2, attempt=2)),
            ),
            "times",
        ),
        (
            trail(ENQUEUED, ("started", claim(1)), ("step", claim(7)), ("failed", claim(1))),
            "fences",
        ),
        (trail(ENQUEUED, ("reaped", claim(0, delivery=0)), ("revoked", claim(0))), "claims"),
        (trail(ENQUEUED, ("failed", claim(0, detail=b'{"reason":"x"}'))), "claims"),
        (
            trail(
                ENQUEUED,
                ("started", claim(1)),
                ("step", claim(1, detail=b'{"step":"charge"}')),
                ("step", claim(1, detail=b'{"step":"mail"}')),
                ("step", claim(1, detail=b'{"step":"charge"}')),
                ("succeeded", claim(1)),
            ),
            "steps",
        ),
        (trail(ENQUEUED, PARENT), None),
        (trail(ENQUEUED, PARENT, ("started", claim(1)), ("succeeded", claim(1))), "one ending"),
        (trail(ENQUEUED, PARENT, ENQUEUED, ("revoked", claim(0))), None),
    ],
)
def test_what_may_follow_what(rows: tuple[AuditRow, ...], invariant: str | None) -> None:
    found = invariants(verify(rows, (), (), None))
    assert invariant in found if invariant else not found


def test_a_message_that_went_back_to_be_keyed_may_end_while_it_waits() -> None:
    revoked = ("revoked", claim(1, delivery=0, detail=b'{"reason":"revoked"}'))
    rows = trail(ENQUEUED, ("started", claim(1)), revoked)
    ended: dict[str, Any] = {"fence": 1, "state": State.REVOKED, "ended_ms": 1, "enqueued_ms": 1}
    plain = Record(id="m", task="t", queue="q", priority=0, **ended)
    assert invariants(verify(rows, (plain,), (), None)) == {"limits"}
    assert verify(rows, (replace(plain, once_key="k"),), (), None) == []


def test_a_replay_revives_what_had_fallen_with_it() -> None:
    fallen = trail(ENQUEUED, PARENT)
    parent = AuditRow(seq="3", at_ms=3000, event="replayed", id="p")
    again = trail("", "", "", ("started", claim(1)), ("succeeded", claim(1)))[3:]
    found = verify((*fallen, parent, *again), (), (), None, horizon_ms=0)
    assert {v.id for v in found} == {"p"}  # whose own beginning is missing here
    assert invariants(verify((*fallen, *again), (), (), None)) == {"one ending"}


def a_record(message_id: str, state: State, **fields: Any) -> Record:
    ended = None if state == State.WAITING else 1
    return Record(
        id=message_id, task="t", queue="q", priority=0, state=state, ended_ms=ended, **fields
    )


@pytest.mark.parametrize(
    ("first", "second", "waits", "caught"),
    [
        (State.SUCCEEDED, State.SUCCEEDED, 1, True),
        (State.SUCCEEDED, State.WAITING, 1, False),
        (State.WAITING, State.WAITING, 2, False),
        (State.FAILED, State.WAITING, 1, True),
        (State.REVOKED, State.WAITING, 1, True),
    ],
)
def test_a_child_that_was_not_told_is_caught(
    first: State, second: State, waits: int, caught: bool
) -> None:
    edges = (("child", "success", -1),)
    records = (
        a_record("child", State.WAITING, waits=waits),
        a_record("p1", first, edges=edges),
        a_record("p2", second, edges=edges),
    )
    found = verify((), records, (), None, full=False)
    assert invariants(found) == ({"joins"} if caught else set())
    errback = a_record("p3", State.WAITING, edges=(("child", "failure", -1),))
    assert verify((), (*records, errback), (), None, full=False) == []


def test_a_claim_of_a_session_that_is_gone_is_caught() -> None:
    record = a_record("m", State.RUNNING, session="s1")
    alive, other = (SessionInfo(id=name, worker="w") for name in ("s1", "s2"))
    assert verify((), (record,), (), None, sessions=(alive, other), full=False) == []
    found = verify((), (record,), (), None, sessions=(other,), full=False)
    assert [str(v) for v in found] == ["claims: m: it is held by session s1, which is gone"]


def test_a_start_after_the_expiry_is_caught() -> None:
    rows = trail(ENQUEUED, ("started", claim(1)), ("succeeded", claim(1)))
    record = a_record("m", State.SUCCEEDED, enqueued_ms=1000, fence=1, expires_ms=2001)
    assert verify(rows, (record,), (), None) == []
    found = verify(rows, (replace(record, expires_ms=2000),), (), None)
    assert invariants(found) == {"times"}


def test_every_invariant_is_named_and_explained() -> None:
    assert set(INVARIANTS) > NEED_FULL_TRAIL
    assert str(Violation("fences", "m", "is off", "7")) == "fences: m: is off (row 7)"
    assert str(Violation("counters", "", "are off")) == "counters: are off"


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ("retry", "it was retried although no claim held it"),
        ("unknown task", "it was given back by a worker that did not know its task although no"),
        ("succeeded", "it was succeeded although no claim held it"),
    ],
)
def test_what_happened_is_told_in_words(event: str, text: str) -> None:
    found = verify(trail(ENQUEUED, (event, claim(0, delivery=0))), (), (), None)
    assert any(violation.text.startswith(text) for violation in found)


def test_what_was_dropped_with_a_workflow_that_was_not_stored_whole_is_not_lost() -> None:
    dropped = trail(ENQUEUED, ("dropped", claim(0, delivery=0)))
    assert verify(dropped[:1], (), (), None) != []
    assert verify(dropped, (), (), None) == []
    record = Record(id="m", task="t", queue="celery", priority=0, state=State.WAITING)
    assert invariants(verify(dropped, (record,), (), None)) == {"records"}
    again = (*dropped, *trail("", "", ENQUEUED)[2:])
    assert verify(again, (record,), (), None) == []
