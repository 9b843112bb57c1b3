"""Store one plain call: what `enqueue` comes to for it, in three statements."""

import functools
from typing import Any, Final

import apsw
import msgspec

from reliable_tasks.core.message import Kind
from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite.rows import COLUMNS, QUEUED, N, new_row
from reliable_tasks.store.sqlite.statements import load
from reliable_tasks.store.sqlite.unit_of_work import RECORD_INSERT

__all__ = ["IdTaken", "is_usual", "store_alone"]

SEQ_TAKE: Final = load("store/seq_take")
COUNT_QUEUED: Final = load("counts/one_queued")
ID, ENQUEUED, PLACE, PAYLOAD = map(COLUMNS.index, ("id", "enqueued", "place", "payload"))


class IdTaken(Exception):
    """There is a message with this id; nothing was stored."""


def is_usual(kind: Kind, payload: bytes, options: v.StoreOptions) -> bool:
    """Whether a call is neither refused nor told of in the trail."""
    return options.audit != "all" and len(kind.headers) + len(payload) <= options.max_message_bytes


@functools.lru_cache(maxsize=512)
def _row(kind: Kind) -> list[Any]:
    """A queued call of this kind, without what differs."""
    r = new_row(kind.message("", b""), 0, 0, None)
    r.state, r.version, r.admitted = QUEUED, 1, 1
    return list(msgspec.structs.astuple(r))


def store_alone(
    connection: apsw.Connection, kind: Kind, message_id: str, payload: bytes, now: int
) -> None:
    """Queue a call, in a transaction.

    Raises:
        IdTaken: by one that lives, has ended, or is this one.
    """
    place: Any = connection.execute(SEQ_TAKE).get
    row = _row(kind).copy()
    row[ID], row[ENQUEUED], row[PAYLOAD] = message_id, now, payload
    row[N], row[PLACE] = place - 1, place
    try:
        connection.execute(RECORD_INSERT, row)
    except apsw.ConstraintError:
        raise IdTaken from None
    connection.execute(COUNT_QUEUED, (kind.queue,))
