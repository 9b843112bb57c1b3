"""What can be read of a store once its world is at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from reliable_tasks.store.values import AuditQuery, MessageQuery, every_of

if TYPE_CHECKING:
    from reliable_tasks.store.values import AuditRow, Counts, LockInfo, Record, SessionInfo

__all__ = ["Account", "account_of", "all_records"]


class Account(NamedTuple):
    """What a checker reads of a store."""

    rows: tuple[AuditRow, ...] = ()
    records: tuple[Record, ...] = ()
    locks: tuple[LockInfo, ...] = ()
    counts: Counts | None = None
    sessions: tuple[SessionInfo, ...] = ()


def account_of(store: Any) -> Account:
    """Everything that can be read of the store."""
    rows = tuple(every_of(store.audit, AuditQuery()))
    return Account(rows, all_records(store), store.locks(), store.counts(), store.sessions())


def all_records(store: Any) -> tuple[Record, ...]:
    """The records of all messages, whole."""
    return tuple(every_of(store.find, MessageQuery(full=True)))
