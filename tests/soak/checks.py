"""What must hold after a soak: the public checker's invariants, and those that need the effects."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

from reliable_tasks.audit.verify import Violation, verify
from reliable_tasks.beat.encoding import decode_spec, slot_id
from reliable_tasks.core.codec import loads
from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.core.message import FINAL_STATES, State
from reliable_tasks.store.values import AuditEvent, AuditRow, Record
from tests.soak.hostile import FAILURES
from tests.soak.tasks import CHILD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.soak.account import Account, Effect, Note

__all__ = ["CHECKS", "Known", "violations"]

Ev = AuditEvent
NAMESPACE = "reliable_tasks"
CLOCKS_MS = 100
"""By how much the machine's clock may be set back between two processes' looks at it."""

BY_EXCEPTION = {
    "failing": {"ValueError"},
    "too_long": {"TimeLimitExceeded"},
    "stepping": {"StepOutcomeUnknown"},
    "hostile": FAILURES,
    "huge": {"MessageTooLarge"},
}
"""What bodies may fail with; all others do not fail by themselves."""

NEVER_SUCCEED = {"failing", "too_long", "huge"}
_ENDINGS = {"succeeded", "failed", "revoked", "expired", "ignored", "rejected", "purged"}
_GIVES_UP = _ENDINGS | {Ev.RETRY, Ev.RELEASED, Ev.UNKNOWN, Ev.REAPED, Ev.DOOMED}


def violations(account: Account) -> list[Violation]:
    """What is not as promised, in the order in which it was found."""
    known = Known(account)
    found = verify(
        account.rows, account.records, account.locks, account.counts, sessions=account.sessions
    )
    for check in CHECKS:
        found += check(known)
    return found


class Known:
    """The account, by message."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.records = {record.id: record for record in account.records}
        self.rows = account.rows_by_id()

    @cached_property
    def asked(self) -> dict[str, Note]:
        """What the producer was about to send."""
        return {note.id: note for note in self.account.notes if note.event == "sending"}

    @cached_property
    def claims(self) -> dict[tuple[str, int], AuditRow]:
        """The beginning of each claim, by message and fence."""
        return {(r.id, r.fence): r for r in self.account.rows if r.event == Ev.STARTED}

    @cached_property
    def parents(self) -> dict[str, list[Record]]:
        """The parents of each message."""
        found: dict[str, list[Record]] = defaultdict(list)
        for record in self.records.values():
            for child, _, _ in record.edges:
                found[child].append(record)
        return found

    @cached_property
    def slots(self) -> set[str]:
        """The messages that beats sent."""
        return {row.id for row in self.account.rows if row.event == Ev.FIRED}

    def effects(self, kind: str) -> list[Effect]:
        return [effect for effect in self.account.effects if effect.kind == kind]

    def noted(self, event: str) -> dict[str, Note]:
        return {note.id: note for note in self.account.notes if note.event == event}

    def row(self, message_id: str, event: str) -> list[AuditRow]:
        return [row for row in self.rows.get(message_id, ()) if row.event == event]


# Messages -----------------------------------------------------------------------------------------


def _conservation(known: Known) -> Iterator[Violation]:
    """What was acknowledged is there and has ended; what is there was asked for."""
    for message_id in known.noted("sent"):
        record = known.records.get(message_id)
        if record is None:
            yield Violation("conservation", message_id, "it was acknowledged and is lost")
    for record in known.records.values():
        if record.state not in FINAL_STATES:
            yield Violation("drain", record.id, f"it is {record.state} and nothing moves it")
        by_body = record.id.removesuffix(CHILD) in known.asked
        if not by_body and record.id not in known.slots:
            yield Violation("conservation", record.id, "it was never asked for")


def _duplicates(known: Known) -> Iterator[Violation]:
    """A refused duplicate names a holder that exists, and was not stored itself."""
    for note in known.noted("duplicate").values():
        if note.text not in known.records:
            yield Violation("locks", note.id, f"its key's holder {note.text} is not there")
        if note.id in known.records:
            yield Violation("locks", note.id, "it was refused as a duplicate, and stored")


def _endings(known: Known) -> Iterator[Violation]:
    """Each message ended as it had to, or may have."""
    revoking = known.noted("revoking")
    for record in known.records.values():
        note = known.asked.get(record.id)
        if record.state == State.SUCCEEDED:
            text = "no body of it can succeed" if record.task in NEVER_SUCCEED else ""
        elif record.state == State.FAILED:
            text = _wrong_failure(known, record)
        elif record.reason == "expired":
            text = "" if note and note.expires else "it expired, and has no such time"
        else:
            text = "" if record.id in revoking else f"it is {record.state} ({record.reason})"
        if text and record.state in FINAL_STATES:
            yield Violation("endings", record.id, text)


def _wrong_failure(known: Known, record: Record) -> str:
    if record.reason == "delivery limit":
        return ""
    if record.reason == "parent":
        if any(parent.state != State.SUCCEEDED for parent in known.parents[record.id]):
            return ""
        return "it failed because of a parent, and all of them succeeded"
    failure = decode_failure(record.failure or b"")
    if failure.type in BY_EXCEPTION.get(record.task, ()):
        return ""
    return f"it failed with {failure.type}: {failure.message}"


def _results(known: Known) -> Iterator[Violation]:
    """A result is what the claim that was committed returned, and the number that it had to be."""
    said = {(e.id, e.fence): e.said for e in known.effects("end")}
    for record in known.records.values():
        if record.state != State.SUCCEEDED:
            continue
        result = loads(record.result or b"null", "json", ("json",))
        returned = said.get((record.id, record.fence))
        if returned is None:
            text = f"it succeeded with fence {record.fence}, whose body did not come to its end"
            yield Violation("effects", record.id, text)
        elif result != list(returned):
            yield Violation("effects", record.id, f"its result is {result}, not {returned}")
        note = known.asked.get(record.id)
        number = result[1] if isinstance(result, list) else None
        if note and note.number is not None and number != note.number:
            yield Violation("effects", record.id, f"its result is {result}, not {note.number}")


def _retries(known: Known) -> Iterator[Violation]:
    """Who succeeded was retried as often as it asked for, or more often where a store was away."""
    for note in known.asked.values():
        record = known.records.get(note.id)
        if record is None or record.state != State.SUCCEEDED:
            continue
        retries = len(known.row(note.id, Ev.RETRY))
        exact = note.task not in {"stepping", "spawning", "guarded"}
        if record.attempt != retries + 1 or (exact and retries != note.failures):
            text = f"it had {retries} retries of {note.failures}, and attempt {record.attempt}"
            yield Violation("limits", note.id, text)


def _delays(known: Known) -> Iterator[Violation]:
    """Nothing starts before its countdown is over."""
    for note in known.asked.values():
        for row in known.row(note.id, Ev.STARTED)[:1]:
            early = note.at_ms + note.delay_ms - row.at_ms
            if early > CLOCKS_MS:
                yield Violation("times", note.id, f"it started {early} ms too early", row.seq)


def _revoked(known: Known) -> Iterator[Violation]:
    """A revocation wins or loses, never both."""
    for note in known.noted("revoked").values():
        record = known.records.get(note.id)
        if record is None:
            continue
        if note.text == "revoked" and record.state != State.REVOKED:
            yield Violation("one ending", note.id, f"it was revoked, and is {record.state}")
        for row in known.row(note.id, Ev.STARTED):
            if note.text in {"revoked", "running"} and row.at_ms > note.at_ms + CLOCKS_MS:
                yield Violation("one ending", note.id, "it started after its revocation", row.seq)


# Bodies -------------------------------------------------------------------------------------------


def _bodies(known: Known) -> Iterator[Violation]:
    """Each effect is of a claim in the trail, and each claim ran its body once."""
    for effect in known.account.effects:
        row = known.claims.get((effect.id, effect.fence))
        if row is None or row.attempt != effect.attempt:
            text = f"{effect.kind!r} of attempt {effect.attempt}, fence {effect.fence}: no claim"
            yield Violation("effects", effect.id, text)
        elif effect.at_ms and effect.at_ms < row.at_ms - CLOCKS_MS:
            text = f"{effect.kind!r} was {row.at_ms - effect.at_ms} ms before its claim"
            yield Violation("effects", effect.id, text, row.seq)
    begun = Counter((effect.id, effect.fence) for effect in known.effects("begin"))
    for (message_id, fence), times in begun.items():
        if times > 1:
            yield Violation("effects", message_id, f"the claim {fence} ran {times} times")


def _zombies(known: Known) -> Iterator[Violation]:
    """A claim whose outcome was refused as stale has committed nothing.

    But one that committed may tell so again, if it never got the answer: a store that has taken the
    commit of a later claim since then remembers only that one, and calls the other stale.
    """
    refused, last = set[tuple[str, int]](), dict[str, int]()
    for row in known.account.rows:
        if row.event == Ev.STALE:
            refused.add((row.id, row.fence))
            if last.get(row.id) == row.fence:
                text = f"the claim {row.fence} committed, and was refused as stale"
                yield Violation("claims", row.id, text, row.seq)
        elif row.event in {Ev.SUCCEEDED, Ev.RETRY}:
            last[row.id] = row.fence
            if (row.id, row.fence) in refused:
                text = f"the claim {row.fence} was refused as stale, and {row.event}"
                yield Violation("claims", row.id, text, row.seq)


def _handed_on(known: Known) -> Iterator[Violation]:
    """A child is given what its parents committed, and nothing of a zombie's."""
    committed = {row.fence for row in known.account.rows if row.event == Ev.SUCCEEDED}
    for effect in known.effects("begin"):
        strange = set(effect.given) - committed - {0}
        if strange:
            text = f"it was given results of the claims {sorted(strange)}, never committed"
            yield Violation("joins", effect.id, text)


def _steps(known: Known) -> Iterator[Violation]:
    """A step's effect happened once at most, and once where the message succeeded."""
    charges = Counter(effect.id for effect in known.effects("charge"))
    for record in known.records.values():
        times = charges[record.id]
        least = record.task == "stepping" and record.state == State.SUCCEEDED
        if not least <= times <= 1:
            yield Violation("steps", record.id, f"it was charged {times} times")


def _guarded(known: Known) -> Iterator[Violation]:
    """A guarded resource never goes backwards."""
    latest: dict[str, int] = defaultdict(int)
    for write in known.account.writes:
        if write.fence < latest[write.resource]:
            text = f"its claim {write.fence} wrote to {write.resource} after {latest}"
            yield Violation("fences", write.id, text)
        if (write.id, write.fence) not in known.claims:
            yield Violation("effects", write.id, f"wrote with fence {write.fence}: no claim")
        latest[write.resource] = max(latest[write.resource], write.fence)


def _children(known: Known) -> Iterator[Violation]:
    """What a body enqueued is there once the body's message has succeeded."""
    for record in known.records.values():
        done = record.task == "spawning" and record.state == State.SUCCEEDED
        if done and record.id + CHILD not in known.records:
            yield Violation("conservation", record.id, "what its body enqueued is lost")


def _versions(known: Known) -> Iterator[Violation]:
    """What a body says is what the version that ran it says."""
    ran = {(e.id, e.fence): e.kind for e in known.account.effects if e.kind.startswith("version")}
    for effect in known.effects("end"):
        if effect.task != "greet" or not effect.said:
            continue
        if ran.get((effect.id, effect.fence)) != f"version {effect.said[1]}":
            yield Violation("versions", effect.id, "another version's body spoke for it")


# Locks and slots ----------------------------------------------------------------------------------


def _one_at_a_time(known: Known) -> Iterator[Violation]:
    """At most one message of a key lives, or runs, as the scope has it."""
    holders: dict[str, str] = {}
    for row in known.account.rows:
        record = known.records.get(row.id)
        if record is None or not record.once_key:
            continue
        if row.task == "until_executed":
            takes, frees = row.event == Ev.ENQUEUED, row.event in _ENDINGS
        elif row.task == "while_executing":
            takes, frees = row.event == Ev.STARTED, row.event in _GIVES_UP
        else:
            continue
        holder = holders.get(record.once_key)
        if takes and holder not in {None, row.id}:
            yield Violation("locks", row.id, f"its key is held by {holder}", row.seq)
        if takes:
            holders[record.once_key] = row.id
        elif frees and holder == row.id:
            del holders[record.once_key]


def _slots(known: Known) -> Iterator[Violation]:
    """One message for each slot; and where all are caught up with, one for every slot."""
    fired = Counter(row.id for row in known.account.rows if row.event == Ev.FIRED)
    for message_id, times in fired.items():
        if times > 1:
            yield Violation("slots", message_id, f"its slot was fired {times} times")
        if message_id not in known.records:
            yield Violation("slots", message_id, "its slot was fired, and it is lost")
    for entry in known.account.entries:
        if entry.last_ms is None:
            yield Violation("slots", "", f"{entry.name!r} never fired")
        elif decode_spec(entry.spec).catch_up == "all":
            slots = (entry.last_ms - 1000 * n for n in range(entry.runs))
            lost = {slot_id(NAMESPACE, entry.name, slot) for slot in slots} - set(fired)
            for message_id in lost:
                yield Violation("slots", message_id, f"a slot of {entry.name!r} is left out")
            if entry.missed:
                yield Violation("slots", "", f"{entry.name!r} missed {entry.missed} slots")
    runs = sum(entry.runs for entry in known.account.entries)
    if runs != len(fired):
        yield Violation("slots", "", f"the entries say {runs} slots, the trail {len(fired)}")


def _at_rest(known: Known) -> Iterator[Violation]:
    """When all workers have gone, nothing is held that has no end of its own."""
    for session in known.account.sessions:
        yield Violation("at rest", "", f"session {session.id} of {session.worker} is still open")
    for lock in known.account.locks:
        if not lock.until_ms:
            yield Violation("at rest", lock.owner, f"it still holds {lock.name}")


CHECKS: tuple[Callable[[Known], Iterator[Violation]], ...] = (
    _conservation,
    _duplicates,
    _endings,
    _results,
    _retries,
    _delays,
    _revoked,
    _bodies,
    _zombies,
    _handed_on,
    _steps,
    _guarded,
    _children,
    _versions,
    _one_at_a_time,
    _slots,
    _at_rest,
)
