"""Schedule entries, and groups: small things kept under a name."""

from typing import Final

import msgspec

from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite.enqueue import enqueue
from reliable_tasks.store.sqlite.statements import load
from reliable_tasks.store.sqlite.transitions import Transitions

__all__ = ["fire", "put_entry", "remove_entry", "save_group"]

ENTRY_READ: Final = load("entries/read")
ENTRY_PUT: Final = load("entries/put")
ENTRY_DELETE: Final = load("entries/delete")
ENTRIES_CHANGED: Final = load("store/entries_changed")
GROUP_PUT: Final = load("groups/put")


def as_entry(row: tuple[object, ...]) -> v.Entry:
    """An entry from its row: the columns are the fields, in their order."""
    fields = dict(zip(v.Entry.__struct_fields__, row, strict=True))
    return msgspec.convert(fields, v.Entry, strict=False)


def _read(work: Transitions, name: str) -> v.Entry | None:
    row = work.first(ENTRY_READ, (name,))
    return None if row is None else as_entry(row)


def _write(work: Transitions, entry: v.Entry) -> None:
    work.execute(ENTRY_PUT, msgspec.structs.astuple(entry))
    work.execute(ENTRIES_CHANGED)


def put_entry(work: Transitions, entry: v.Entry, expected_version: int | None) -> bool:
    """Create or change an entry, if nobody has changed or fired it (expected -1: absent)."""
    old = _read(work, entry.name)
    version = old.version if old is not None else -1
    if expected_version is not None:
        fired = old is not None and (old.runs, old.missed) != (entry.runs, entry.missed)
        if expected_version != version or fired:
            return False
    _write(work, msgspec.structs.replace(entry, version=max(version, 0) + 1))
    return True


def remove_entry(work: Transitions, name: str) -> bool:
    """Delete an entry."""
    if work.first(ENTRY_DELETE, (name,)) is None:
        return False
    work.execute(ENTRIES_CHANGED)
    return True


def fire(
    work: Transitions, entry: v.Entry, expected_ms: int | None, batch: v.Batch
) -> v.Enqueued | None:
    """Advance an entry and enqueue its messages, if its next slot is still the expected one."""
    old = _read(work, entry.name)
    if old is None or old.paused or old.version != entry.version or old.next_ms != expected_ms:
        return None
    advanced = msgspec.structs.replace(
        old,
        next_ms=entry.next_ms,
        last_ms=entry.last_ms,
        last_id=entry.last_id,
        runs=entry.runs,
        missed=entry.missed,
    )
    _write(work, advanced)
    done = enqueue(work, batch)
    for m in batch.messages:
        work.audit_id(v.AuditEvent.FIRED, m.id, m.task)
    return done


def save_group(work: Transitions, group_id: str, value: bytes, ttl_ms: int) -> None:
    """Keep a group's description for that long (0: for ever)."""
    work.execute(GROUP_PUT, (group_id, value, work.now + ttl_ms if ttl_ms else None))
