"""What a result backend of Celery's says of a message, as a record of ours.

A failure comes with the name of its class and its arguments; no class is imported for it. A handle
makes the exception of it as it does of any stored failure.
"""

from __future__ import annotations

import datetime as dt
import zlib
from typing import TYPE_CHECKING, Any

from reliable_tasks import errors
from reliable_tasks.core.codec import dumps
from reliable_tasks.core.codec.failures import encode_named
from reliable_tasks.core.message import State
from reliable_tasks.core.reasons import Reason
from reliable_tasks.store.values import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["record_of"]

_FINAL = {"SUCCESS": State.SUCCEEDED, "FAILURE": State.FAILED, "REVOKED": State.REVOKED}
_OF_CELERY = frozenset({"celery.exceptions", "billiard.exceptions"})
_OURS = "reliable_tasks.errors"


def record_of(message_id: str, meta: Mapping[str, Any], serializer: str) -> Record | None:
    """The record of a message; None where the backend has nothing of it.

    Args:
        message_id: of the message.
        meta: as the backend keeps it, with a failure's name and arguments as plain values.
        serializer: of results, as the handle decodes them.

    Raises:
        CodecError: the result has no form in that encoding.
    """
    status, value = str(meta.get("status") or "PENDING"), meta.get("result")
    if status == "PENDING":
        return None
    known: dict[str, Any] = {
        "id": message_id,
        "task": meta.get("name") or "",
        "queue": meta.get("queue") or "",
        "priority": 0,
        "worker": meta.get("worker"),
        "attempt": (meta.get("retries") or 0) + 1,
        "version": zlib.crc32(repr((status, value)).encode()),
        "ended_ms": _instant_ms(meta.get("date_done")),
        "parent_id": meta.get("parent_id"),
    }
    if status == "SUCCESS":
        return Record(state=State.SUCCEEDED, result=dumps(value, serializer), **known)
    if status in _FINAL:
        reason = Reason.FAILED if status == "FAILURE" else Reason.REVOKED
        failure = _failure(value, meta.get("traceback"))
        return Record(state=_FINAL[status], reason=reason, failure=failure, **known)
    if status == "RETRY":
        failure = _failure(value, meta.get("traceback"))
        known["attempt"] = max(2, known["attempt"])
        return Record(state=State.SCHEDULED, failure=failure, **known)
    if status == "STARTED":
        return Record(state=State.RUNNING, **known)
    progress = dumps(value, serializer)
    return Record(state=State.RUNNING, progress_state=status, progress_meta=progress, **known)


def _failure(told: Any, traceback: Any) -> bytes:
    """The failure of what Celery keeps: `exc_type`, `exc_module` and `exc_message`."""
    told = told if isinstance(told, dict) else {"exc_message": told}
    name = str(told.get("exc_type") or "Exception")
    module = str(told.get("exc_module") or "builtins")
    if module in _OF_CELERY and hasattr(errors, name):
        module = _OURS
    given = told.get("exc_message")
    args = tuple(given) if isinstance(given, list | tuple) else () if given is None else (given,)
    return encode_named(name, module, args, str(traceback or ""))


def _instant_ms(told: Any) -> int | None:
    if isinstance(told, str):
        try:
            told = dt.datetime.fromisoformat(told)
        except ValueError:
            return None
    if not isinstance(told, dt.datetime):
        return None
    aware = told if told.tzinfo else told.replace(tzinfo=dt.UTC)
    return round(aware.timestamp() * 1000)
