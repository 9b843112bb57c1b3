"""What a soak leaves behind: the store's own account, what bodies did, and what was asked for."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks.store.values import (
    AuditQuery,
    AuditRow,
    Counts,
    Entry,
    LockInfo,
    MessageQuery,
    Record,
    SessionInfo,
    every_of,
)
from tests.soak.tasks import RESOURCES, open_resources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reliable_tasks.store.protocol import Store

__all__ = ["Account", "Effect", "Note", "Write", "load", "read", "save"]

PAGE = 1000
FILE = "account.msgpack"


class Effect(msgspec.Struct, frozen=True):
    """A line of the file of effects; `said` is what the body returned, at its end."""

    kind: str
    id: str
    attempt: int
    fence: int
    pid: int = 0
    at_ms: int = 0
    task: str = ""
    given: tuple[int, ...] = ()
    said: tuple[int, int] | None = None


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the producer's file.

    Attributes:
        event: "sending" before a call; after it "sent", "duplicate" or "failed"; "revoking" and
            "revoked".
        at_ms: when it was written.
        id: of the message, chosen by the producer.
        task: its task.
        number: what its result will be; None where nobody can know.
        failures: how often its body asks to be retried.
        delay_ms: it is not to start for so long.
        expires: whether it has a time to expire.
        text: what was found, or went wrong.
    """

    event: str
    id: str
    at_ms: int = 0
    task: str = ""
    number: int | None = None
    failures: int = 0
    delay_ms: int = 0
    expires: bool = False
    text: str = ""


class Write(msgspec.Struct, frozen=True):
    """A write to a guarded resource."""

    resource: str
    id: str
    fence: int


class Account(msgspec.Struct, frozen=True):
    """All that there is to check; rows, effects, notes and writes in the order of their making."""

    rows: tuple[AuditRow, ...]
    records: tuple[Record, ...]
    locks: tuple[LockInfo, ...] = ()
    counts: Counts | None = None
    sessions: tuple[SessionInfo, ...] = ()
    entries: tuple[Entry, ...] = ()
    effects: tuple[Effect, ...] = ()
    notes: tuple[Note, ...] = ()
    writes: tuple[Write, ...] = ()

    def rows_by_id(self) -> dict[str, list[AuditRow]]:
        """The rows of each message."""
        found: dict[str, list[AuditRow]] = defaultdict(list)
        for row in self.rows:
            found[row.id].append(row)
        return found


def read(store: Store, folder: Path) -> Account:
    """Read a store at rest, and the files in a soak's folder."""
    return Account(
        rows=tuple(_rows(store)),
        records=tuple(_records(store)),
        locks=store.locks(),
        counts=store.counts(),
        sessions=store.sessions(),
        entries=store.entries(),
        effects=tuple(_lines(folder / "effects.jsonl", Effect)),
        notes=tuple(_lines(folder / "notes.jsonl", Note)),
        writes=tuple(_writes(folder)),
    )


def save(account: Account, folder: Path) -> None:
    """Keep it in a file, to be checked again without the store."""
    (folder / FILE).write_bytes(msgspec.msgpack.encode(account))


def load(folder: Path) -> Account:
    """What `save` kept."""
    return msgspec.msgpack.decode((folder / FILE).read_bytes(), type=Account)


def _rows(store: Store) -> Iterator[AuditRow]:
    return every_of(store.audit, AuditQuery(limit=PAGE))


def _records(store: Store) -> Iterator[Record]:
    return every_of(store.find, MessageQuery(limit=PAGE, full=True))


def _lines(path: Path, kind: Any) -> Iterator[Any]:
    if path.exists():
        for line in path.read_bytes().splitlines():
            yield msgspec.json.decode(line, type=kind)


def _writes(folder: Path) -> Iterator[Write]:
    with contextlib.closing(open_resources(folder / RESOURCES)) as database:
        for row in database.execute("SELECT resource, id, fence FROM history ORDER BY rowid"):
            yield Write(*row)
