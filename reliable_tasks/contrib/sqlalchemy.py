"""SQLAlchemy: enqueue what a session has asked for when it commits, and nothing when it does not.

```python
with Session(engine) as session, session.begin():
    session.add(order)
    session.flush()
    result = after_commit(session, charge.s(order.id))
```
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import event
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.util import await_only

from reliable_tasks.canvas import compile_plan, messages_of, plan_of
from reliable_tasks.errors import ConfigError, ReliableTasksError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import SessionTransaction

    from reliable_tasks import AsyncResult, Signature

__all__ = ["NotEnqueued", "after_commit"]

R = TypeVar("R")

_KEY = "reliable_tasks.after_commit"
_ASYNCIO = "sqlalchemy.ext.asyncio"


class NotEnqueued(ReliableTasksError):
    """The transaction is committed, but what was to follow it could not be enqueued.

    Attributes:
        calls: the signatures, each with the id of the handle that `after_commit` gave. Enqueue
            them when the store is back: `app.enqueue_many(error.calls)`. What of them is there
            already is not enqueued twice.
    """

    def __init__(self, text: str = "", calls: Sequence[Signature] = ()) -> None:
        super().__init__(text)
        self.calls = tuple(calls)


def after_commit(session: Any, call: Signature[R]) -> AsyncResult[R]:
    """Enqueue a call when the session's transaction commits; returns its handle, now.

    What belongs to a savepoint (`begin_nested`) or a transaction that is rolled back, or closed
    without a commit, is forgotten. Outside of a transaction it belongs to the next one. The lone
    calls of a transaction are enqueued in one batch, each canvas whole, after the commit; with an
    `AsyncSession`, the event loop goes on meanwhile.

    Args:
        session: a `Session`, an `AsyncSession`, or a scoped one.
        call: a signature, or a canvas.

    Raises:
        ConfigError: it is no session, or no signature, or an option of it is not possible.
        TypeError, CodecError, MessageTooLarge: its arguments do not fit, or cannot be sent.
        NotEnqueued: out of `commit()`, where the enqueueing failed: the transaction is committed.
    """
    sync, is_async = _session_of(session)
    if not hasattr(call, "freeze"):
        raise ConfigError(f"after_commit() takes a signature, such as task.s(…), not {call!r}")
    calls = sync.info.get(_KEY)
    if calls is None:
        calls = sync.info[_KEY] = _Calls()
        event.listen(sync, "after_transaction_create", calls.begun)
        event.listen(sync, "after_commit", calls.committed)
        event.listen(sync, "after_transaction_end", calls.ended)
    calls.is_async = is_async
    asked = call.clone()
    handle: AsyncResult[R] = asked.freeze()
    _check(asked)
    calls.of(sync.get_nested_transaction() or sync.get_transaction()).append(asked)
    return handle


def _check(call: Signature) -> None:
    """Raise now what would be wrong with a call after the commit, when it is too late."""
    graph = compile_plan(plan_of(call))
    if graph.nodes:
        messages_of(graph, call.app)


def _session_of(session: Any) -> tuple[Session, bool]:
    # Its import needs greenlet; who has one of its sessions has imported it.
    asynchronous = sys.modules.get(_ASYNCIO)
    if isinstance(session, scoped_session) or (
        asynchronous and isinstance(session, asynchronous.async_scoped_session)
    ):
        session = session()
    if asynchronous and isinstance(session, asynchronous.AsyncSession):
        return session.sync_session, True
    if not isinstance(session, Session):
        raise ConfigError(f"after_commit() takes a session of SQLAlchemy, not {session!r}")
    return session, False


class _Calls:
    """What one session has asked for, by the transaction or savepoint that it belongs to."""

    def __init__(self) -> None:
        self.is_async = False
        self._asked: list[tuple[SessionTransaction | None, list[Signature]]] = []
        self._sure: list[Signature] = []

    def of(self, transaction: SessionTransaction | None) -> list[Signature]:
        """The list of a transaction; None is the one that has not begun."""
        for owner, calls in self._asked:
            if owner is transaction:
                return calls
        self._asked.append((transaction, []))
        return self._asked[-1][1]

    def _take(self, transaction: SessionTransaction | None) -> list[Signature]:
        taken = self.of(transaction)
        self._asked = [each for each in self._asked if each[1] is not taken]
        return taken

    def begun(self, _: Session, transaction: SessionTransaction) -> None:
        """Give a transaction what was asked for before it."""
        if transaction.parent is None and any(owner is None for owner, _ in self._asked):
            self.of(transaction).extend(self._take(None))

    def committed(self, session: Session) -> None:
        """Hand what a savepoint has to what is around it; what the outermost has is for sure."""
        inner = session.get_nested_transaction()
        if inner is None:
            root = session.get_transaction()
            self._sure += self._take(root)
            return
        outer = inner.parent
        while outer is not None and outer.parent is not None and not outer.nested:
            outer = outer.parent
        self.of(outer).extend(self._take(inner))

    def ended(self, _: Session, transaction: SessionTransaction) -> None:
        """Forget what did not come to a commit; enqueue what did, once the session is free."""
        self._take(transaction)
        if transaction.parent is None and self._sure:
            calls, self._sure = self._sure, []
            self._enqueue(calls)

    def _enqueue(self, calls: list[Signature]) -> None:
        left = {id(call.app): call.app for call in calls}
        for app in left.values():
            its = [call for call in calls if call.app is app]
            try:
                if self.is_async:
                    await_only(app.aenqueue_many(its))
                else:
                    app.enqueue_many(its)
            except Exception as exc:
                raise NotEnqueued(
                    f"the transaction is committed, but {len(calls)} calls that were to follow "
                    f"it may not be enqueued ({', '.join(map(repr, calls[:3]))}): {exc}",
                    calls,
                ) from exc
