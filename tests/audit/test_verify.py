"""The checker: silent on trails that real workers left, loud on each thing that was altered."""

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from property_tests.simulation.runner import run_seed
from reliable_tasks.audit.verify import Violation, verify
from reliable_tasks.core.message import State
from reliable_tasks.store.values import (
    AUDIT_DEFAULT,
    AuditRow,
    Counts,
    LockInfo,
    Record,
)

SEEDS = range(25)
replace = msgspec.structs.replace


class Account(msgspec.Struct, frozen=True):
    """What a checker reads of a store."""

    rows: tuple[AuditRow, ...]
    records: tuple[Record, ...]
    locks: tuple[LockInfo, ...] = ()
    counts: Counts | None = None

    def found(self, **options: Any) -> list[Violation]:
        return verify(self.rows, self.records, self.locks, self.counts, **options)


@cache
def simulated(seed: int, store: str = "model") -> Account:
    world, found = run_seed(seed, store)
    assert not found
    rows, records, locks, counts, _ = world.account
    return Account(rows, records, locks, counts)


def invariants(found: Sequence[Violation]) -> set[str]:
    return {violation.invariant for violation in found}


# Trails of whole workers --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_found_where_nothing_is_wrong(seed: int) -> None:
    assert simulated(seed).found() == []


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_found_on_a_real_store(seed: int) -> None:
    assert simulated(seed, "memory").found() == []


@given(st.sampled_from(SEEDS), st.integers(0, 10_000))
def test_a_trail_without_its_beginning_is_no_violation(seed: int, at: int) -> None:
    account = simulated(seed)
    first = at % len(account.rows)
    horizon_ms = account.rows[first - 1].at_ms if first else 0
    rest = tuple(row for row in account.rows if row.at_ms > horizon_ms)
    assert replace(account, rows=rest).found(horizon_ms=horizon_ms) == []


@given(st.sampled_from(SEEDS))
def test_the_default_trail_is_no_violation(seed: int) -> None:
    account = simulated(seed)
    kept = tuple(row for row in account.rows if row.event in AUDIT_DEFAULT)
    assert replace(account, rows=kept).found(full=False) == []


# Altered trails -----------------------------------------------------------------------------------

OF_OTHERS = {"stale", "duplicate", "conflict", "replaced", "rerun"}
TOLD_BY_OTHERS = {"enqueued", "started", "succeeded", "failed", "retry", "ignored"}


def pick(account: Account, events: set[str], number: int) -> int:
    """The index of one row of these events."""
    found = [i for i, row in enumerate(account.rows) if row.event in events]
    return found[number % len(found)]


def with_rows(account: Account, rows: Sequence[AuditRow]) -> Account:
    return replace(account, rows=tuple(rows))


def with_row(account: Account, i: int, **changes: Any) -> Account:
    rows = list(account.rows)
    rows[i] = replace(rows[i], **changes)
    return with_rows(account, rows)


def lost(account: Account, number: int) -> Account:
    i = pick(account, TOLD_BY_OTHERS, number)
    later = [row.event for row in account.rows[i + 1 :] if row.id == account.rows[i].id]
    rest = [event for event in later if event not in OF_OTHERS]
    keyed = account.rows[i].event == "started" and rest[0] == "started"
    revived = b'"parent"' in account.rows[i].detail and bool(rest)
    if keyed or revived:
        # A claim that was handed back to be given its once-key left no other trace; and one that
        # fell with its parent, and was revived with it, may as well have waited.
        return lost(account, number + 1)
    return with_rows(account, account.rows[:i] + account.rows[i + 1 :])


def doubled(account: Account, number: int) -> Account:
    i = number % len(account.rows)
    return with_rows(account, (*account.rows[: i + 1], *account.rows[i:]))


def out_of_order(account: Account, number: int) -> Account:
    i = number % (len(account.rows) - 1)
    rows = list(account.rows)
    rows[i], rows[i + 1] = rows[i + 1], rows[i]
    return with_rows(account, rows)


def renumbered(account: Account, number: int) -> Account:
    """Two rows of one message have changed places, and bear each other's numbers."""
    i = pick(account, {"succeeded", "retry"}, number)
    ending = account.rows[i]
    before = [k for k in range(i) if account.rows[k].id == ending.id]
    j = max(k for k in before if account.rows[k].event not in OF_OTHERS | {"step"})
    rows = list(account.rows)
    rows[i], rows[j] = replace(rows[j], seq=rows[i].seq), replace(rows[i], seq=rows[j].seq)
    return with_rows(account, rows)


def other_fence(account: Account, number: int) -> Account:
    i = pick(account, {"started", "succeeded", "retry"}, number)
    return with_row(account, i, fence=account.rows[i].fence + 1000)


def other_attempt(account: Account, number: int) -> Account:
    i = pick(account, {"started"}, number)
    return with_row(account, i, attempt=account.rows[i].attempt + 1)


def other_delivery(account: Account, number: int) -> Account:
    i = pick(account, {"started"}, number)
    return with_row(account, i, delivery=account.rows[i].delivery + 1)


def other_ending(account: Account, number: int) -> Account:
    i = pick(account, {"succeeded"}, number)
    return with_row(account, i, event="failed")


def other_message(account: Account, number: int) -> Account:
    i = pick(account, TOLD_BY_OTHERS, number)
    return with_row(account, i, id="nobody")


def too_early(account: Account, number: int) -> Account:
    """The attempt after a retry starts before the worker thought that it would."""
    i = pick(account, {"retry"}, number)
    row = account.rows[i]
    for j in range(i + 1, len(account.rows)):
        if account.rows[j].id == row.id and account.rows[j].event == "started":
            next_at = msgspec.json.decode(row.detail)["next_at"]
            return with_row(account, j, at_ms=next_at - 1)
    return with_row(account, i, fence=0)  # it was not tried again: another alteration


ALTERATIONS: tuple[Callable[[Account, int], Account], ...] = (
    lost,
    doubled,
    out_of_order,
    renumbered,
    other_fence,
    other_attempt,
    other_delivery,
    other_ending,
    other_message,
    too_early,
)


@pytest.mark.parametrize("alter", ALTERATIONS, ids=lambda alter: alter.__name__)
def test_an_altered_trail_is_caught(alter: Callable[[Account, int], Account]) -> None:
    rng = random.Random(alter.__name__)
    for seed in SEEDS:
        account = simulated(seed)
        if not {"retry", "succeeded"} <= {row.event for row in account.rows}:
            continue
        for _ in range(10):
            number = rng.randrange(10_000)
            assert alter(account, number).found(), f"seed {seed}, {number}"


# Altered records, locks and counters --------------------------------------------------------------


def with_record(account: Account, record: Record, **changes: Any) -> Account:
    records = [replace(r, **changes) if r.id == record.id else r for r in account.records]
    return replace(account, records=tuple(records))


def of_state(account: Account, state: State) -> Record:
    return next(r for r in account.records if r.state == state and r.fence)


@pytest.mark.parametrize(
    ("changes", "invariant"),
    [
        ({"state": State.FAILED}, "one ending"),
        ({"state": State.QUEUED}, "one ending"),
        ({"session": "s"}, "claims"),
        ({"waits": -1}, "joins"),
        ({"waits": 1}, "joins"),
        ({"ended_ms": None}, "records"),
    ],
    ids=str,
)
def test_an_altered_record_is_caught(changes: dict[str, Any], invariant: str) -> None:
    account = replace(simulated(0), counts=None)
    altered = with_record(account, of_state(account, State.SUCCEEDED), **changes)
    assert invariants(altered.found()) == {invariant}


def test_a_lost_record_of_a_message_that_lives_is_caught() -> None:
    account = simulated(0)
    record = of_state(account, State.SUCCEEDED)
    rows = tuple(r for r in account.rows if not (r.id == record.id and r.event == "succeeded"))
    records = tuple(r for r in account.records if r.id != record.id)
    found = Account(rows, records).found()
    assert {(v.invariant, v.id) for v in found} == {("conservation", record.id)}
    assert "is held by a claim by the trail, and there is no record" in found[0].text


def test_a_record_that_was_deleted_after_its_end_is_not_missed() -> None:
    account = replace(simulated(0), counts=None)
    record = of_state(account, State.SUCCEEDED)
    assert (
        replace(account, records=tuple(r for r in account.records if r.id != record.id)).found()
        == []
    )


def test_a_record_that_comes_from_nowhere_is_caught() -> None:
    account = replace(simulated(0), counts=None)
    stranger = replace(of_state(account, State.SUCCEEDED), id="stranger", edges=())
    found = replace(account, records=(*account.records, stranger)).found()
    assert [(v.invariant, v.id) for v in found] == [("conservation", "stranger")]


def test_a_counter_that_is_off_is_caught() -> None:
    account = simulated(0)
    assert account.counts is not None
    states = {**account.counts.states, "succeeded": 1000}
    queues = {"celery": {"queued": 2}}
    found = replace(account, counts=replace(account.counts, states=states, queues=queues)).found()
    assert invariants(found) == {"counters"}
    assert len(found) == 2
    assert "2 are counted as queued on queue 'celery'; there are 0" in str(found[1])


LOCK = LockInfo(name="k", owner="m", fence=1, since_ms=0, until_ms=0)


@pytest.mark.parametrize(
    ("lock", "state", "caught"),
    [
        (LOCK, State.SUCCEEDED, True),
        (LOCK, State.QUEUED, False),
        (replace(LOCK, until_ms=10**15), State.SUCCEEDED, False),
        (replace(LOCK, name="k:run"), State.QUEUED, True),
        (replace(LOCK, owner="a user's"), State.SUCCEEDED, False),
        (replace(LOCK, parked=("n",)), State.QUEUED, True),
    ],
    ids=str,
)
def test_locks_of_what_has_ended_are_caught(lock: LockInfo, state: State, caught: bool) -> None:
    record = Record(id="m", task="t", queue="celery", priority=0, state=state, ended_ms=1)
    found = verify((), (record,), (lock,), None, full=False)
    assert invariants(found) == ({"locks"} if caught else set())


def test_a_lock_of_a_message_that_is_gone_is_caught() -> None:
    rows = (
        AuditRow(seq="1", at_ms=1, event="enqueued", id="m", attempt=1),
        AuditRow(seq="2", at_ms=2, event="revoked", id="m", attempt=1),
    )
    assert invariants(verify(rows, (), (LOCK,), None)) == {"locks"}


def started(account: Account) -> set[str]:
    return {row.id for row in account.rows if row.event == "started"}


def test_a_child_that_started_before_its_parent_had_succeeded_is_caught() -> None:
    account, parent = next(
        (simulated(s), r)
        for s in SEEDS
        for r in simulated(s).records
        if r.state == State.SUCCEEDED and r.edges and r.edges[0][0] in started(simulated(s))
    )
    child = parent.edges[0][0]
    rows = [r for r in account.rows if r.id != parent.id or r.event != "succeeded"]
    found = [v for v in replace(account, rows=tuple(rows)).found() if v.invariant == "joins"]
    assert {v.id for v in found} == {child}
