"""The checks of a soak: silent where all went well, loud on each thing that was altered."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.message import State
from reliable_tasks.store.values import LockInfo, SessionInfo
from tests.soak.account import Account, Note, Write, load, save
from tests.soak.account_builder import BEGAN_MS, SLOTS, well
from tests.soak.checks import CHECKS, Known, violations
from tests.soak.report import Event, report_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

replace = msgspec.structs.replace


def record(message_id: str, **changes: Any) -> Callable[[Account], Account]:
    """Another record of a message."""

    def alter(account: Account) -> Account:
        changed = [replace(r, **changes) if r.id == message_id else r for r in account.records]
        return replace(account, records=tuple(changed))

    return alter


def row(message_id: str, of: str, /, **changes: Any) -> Callable[[Account], Account]:
    """Another row of an event of a message; without changes, none."""

    def alter(account: Account) -> Account:
        rows = []
        for r in account.rows:
            if (r.id, r.event) != (message_id, of):
                rows.append(r)
            elif changes:
                rows.append(replace(r, **changes))
        assert rows != list(account.rows)
        return replace(account, rows=tuple(rows))

    return alter


def effect(message_id: str, kind: str, **changes: Any) -> Callable[[Account], Account]:
    """One more effect, like the last one of its kind but for the changes."""

    def alter(account: Account) -> Account:
        like = [e for e in account.effects if (e.id, e.kind) == (message_id, kind)][-1]
        return replace(account, effects=(*account.effects, replace(like, **changes)))

    return alter


def without(field: str, message_id: str) -> Callable[[Account], Account]:
    """Without all that a part of the account has of a message."""

    def alter(account: Account) -> Account:
        left = tuple(item for item in getattr(account, field) if item.id != message_id)
        assert left != getattr(account, field)
        return replace(account, **{field: left})

    return alter


def with_more(field: str, *items: Any) -> Callable[[Account], Account]:
    """With more of something."""
    return lambda account: replace(account, **{field: (*getattr(account, field), *items)})


def entry(**changes: Any) -> Callable[[Account], Account]:
    """With another schedule."""
    return lambda account: replace(account, entries=(replace(account.entries[0], **changes),))


def writes_backwards(account: Account) -> Account:
    return replace(account, writes=account.writes[::-1])


def overlapping(first: str, second: str, event: str) -> Callable[[Account], Account]:
    """The second message's event comes before the end of the first one."""

    def alter(account: Account) -> Account:
        rows = list(account.rows)
        moved = next(r for r in rows if (r.id, r.event) == (second, event))
        rows.remove(moved)
        end = next(i for i, r in enumerate(rows) if (r.id, r.event) == (first, "succeeded"))
        rows.insert(end, moved)
        return replace(account, rows=tuple(rows))

    return alter


LATER_MS = BEGAN_MS + 1_000_000
TROUBLE = encode_failure(OSError("the disk"))

ALTERATIONS: dict[str, tuple[Callable[[Account], Account], str, str]] = {
    "an acknowledged message is gone": (without("records", "plain"), "conservation", "plain"),
    "a message lives on": (record("plain", state=State.QUEUED), "drain", "plain"),
    "nobody asked for it": (without("notes", "plain"), "conservation", "plain"),
    "a holder is nobody": (
        with_more("notes", Note("duplicate", "no", text="nobody")),
        "locks",
        "no",
    ),
    "a duplicate is stored": (
        with_more("notes", Note("duplicate", "plain", text="once")),
        "locks",
        "plain",
    ),
    "what fails succeeds": (record("failing", state=State.SUCCEEDED), "endings", "failing"),
    "what succeeds fails": (
        record("plain", state=State.FAILED, failure=TROUBLE),
        "endings",
        "plain",
    ),
    "it fails otherwise": (record("failing", failure=TROUBLE), "endings", "failing"),
    "a parent that did well is blamed": (
        record("child", state=State.FAILED, reason="parent"),
        "endings",
        "child",
    ),
    "it expires without a time": (
        record("revoked", reason="expired"),
        "endings",
        "revoked",
    ),
    "nobody revoked it": (without("notes", "revoked"), "endings", "revoked"),
    "its body did not end": (without("effects", "plain"), "effects", "plain"),
    "a zombie's result": (record("zombie", result=b"[3,5]"), "effects", "zombie"),
    "another number": (record("plain", result=b"[1,8]"), "effects", "plain"),
    "a retry too few": (row("flaky", "retry"), "limits", "flaky"),
    "an attempt too many": (record("plain", attempt=2), "limits", "plain"),
    "too early": (row("later", "started", at_ms=0), "times", "later"),
    "the revoked succeeds": (record("revoked", state=State.SUCCEEDED), "one ending", "revoked"),
    "the revoked starts": (
        row("revoked", "revoked", event="started", at_ms=LATER_MS),
        "one ending",
        "revoked",
    ),
    "an effect without a claim": (effect("plain", "begin", fence=99), "effects", "plain"),
    "of another attempt": (effect("plain", "begin", attempt=2), "effects", "plain"),
    "before its claim": (effect("plain", "end", at_ms=1), "effects", "plain"),
    "a claim runs twice": (effect("plain", "begin"), "effects", "plain"),
    "a zombie commits": (row("zombie", "stale", fence=5), "claims", "zombie"),
    "a zombie's result is handed on": (effect("child", "begin", given=(4,)), "joins", "child"),
    "charged twice": (effect("stepping", "charge"), "steps", "stepping"),
    "never charged": (without("effects", "stepping"), "steps", "stepping"),
    "a resource goes backwards": (writes_backwards, "fences", "guarded"),
    "a write without a claim": (
        with_more("writes", Write("account", "plain", 99)),
        "effects",
        "plain",
    ),
    "a body's message is lost": (without("records", "spawning-child"), "conservation", "spawning"),
    "another version speaks": (effect("greet", "end", said=(1, 1)), "versions", "greet"),
    "two live with a key": (overlapping("once", "once more", "enqueued"), "locks", "once more"),
    "two run with a key": (
        overlapping("once while", "once more while", "started"),
        "locks",
        "once more while",
    ),
    "a slot fires twice": (row(SLOTS[1], "enqueued", event="fired"), "slots", SLOTS[1]),
    "a slot is left out": (row(SLOTS[1], "fired"), "slots", SLOTS[1]),
    "a slot's message is lost": (without("records", SLOTS[1]), "slots", SLOTS[1]),
    "slots are missed": (entry(missed=1), "slots", ""),
    "a schedule does nothing": (entry(last_ms=None), "slots", ""),
    "a slot too many is counted": (entry(runs=4), "slots", ""),
    "a session stays": (with_more("sessions", SessionInfo(id="s", worker="w")), "at rest", ""),
    "a lock stays": (
        with_more("locks", LockInfo(name="k", owner="nobody", fence=1, since_ms=1, until_ms=0)),
        "at rest",
        "nobody",
    ),
}


@cache
def found_by_checks(name: str) -> list[set[tuple[str, str]]]:
    """What each of the checks finds in an altered account: invariants and messages."""
    known = Known(ALTERATIONS[name][0](well()))
    return [{(v.invariant, v.id) for v in check(known)} for check in CHECKS]


def test_nothing_is_found_where_all_went_well() -> None:
    assert violations(well()) == []


def test_a_claim_may_tell_again_what_it_committed_once_a_later_one_has_committed() -> None:
    account = well()
    first, *_, last = (
        r for r in account.rows if r.id == "flaky" and r.event in {"retry", "succeeded"}
    )
    seq = str(int(account.rows[-1].seq) + 1)
    again = replace(first, event="stale", seq=seq, at_ms=account.rows[-1].at_ms)
    rows = [*account.rows, again]
    assert violations(replace(account, rows=tuple(rows))) == []
    rows = [r for r in rows if r != last]
    (found, *_) = [
        v for v in violations(replace(account, rows=tuple(rows))) if v.invariant == "claims"
    ]
    assert found.id == "flaky"


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_alteration_is_found(name: str) -> None:
    _, invariant, message_id = ALTERATIONS[name]
    assert any((invariant, message_id) in found for found in found_by_checks(name))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_no_check_can_be_left_out(check: Any) -> None:
    mine = CHECKS.index(check)
    only = []
    for name, (_, invariant, message_id) in ALTERATIONS.items():
        founds = found_by_checks(name)
        if [i for i, found in enumerate(founds) if (invariant, message_id) in found] == [mine]:
            only.append(name)
    assert only, "each alteration is found by another one as well, or by none"


def test_the_public_checker_is_asked_as_well() -> None:
    (found, *_) = violations(row("plain", "succeeded", fence=99)(well()))
    assert (found.invariant, found.id) == ("fences", "plain")


def test_an_account_is_the_same_when_it_was_kept(tmp_path: Path) -> None:
    save(well(), tmp_path)
    assert load(tmp_path) == well()


def test_a_broken_message_is_told_among_its_effects_and_the_faults() -> None:
    account = effect("stepping", "charge")(well())
    at_ms = next(e.at_ms for e in account.effects if e.id == "stepping")
    told = report_of(violations(account), account, [Event(at_ms, "kill tree"), Event(1, "earlier")])
    life, _, done = told.partition("What was done:")
    assert "BROKEN steps: stepping: it was charged 2 times" in life
    for text in (
        "producer  sending",
        "store     started",
        "body      charge",
        "fault     kill tree",
    ):
        assert text in life
    assert "earlier" not in life
    assert "earlier" in done
