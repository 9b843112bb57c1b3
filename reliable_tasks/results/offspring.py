"""What a message started: read from its record, noted while its body runs.

The trail of a body's own calls is part of its result (or of its failure), so that the step which
ends the attempt stores it as well. A value is decoded without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.core.codec import dumps, trail_of
from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.core.codec.tags import Trailed
from reliable_tasks.core.message import COLLECT, FINAL_STATES, TELL, On, State
from reliable_tasks.results.base import ResultBase, as_tuple, first_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Headers
    from reliable_tasks.store.values import Receipt, Record

__all__ = ["Related", "trail", "with_trail"]

MOST_KEPT = 1000
"""So many of the messages that a body sends are kept as its message's children."""
MOST_OF_A_PART = 20
"""So many where its result travels on together with many others: to the body of a chord."""

_READ_AT_ONCE = 1000


class Related(ResultBase):
    """A handle on a message: what started it, and what it has started."""

    _children: list[Any] | None = None
    _started: list[Any] | None = None

    if TYPE_CHECKING:
        receipt: Receipt | None
        stored: bool

        def _read(self) -> Record | None: ...

    @property
    def parent(self) -> Any:
        """The handle of what came before it in a chain; else of what started it, if anything did.

        Where the call was made elsewhere, the store is asked.
        """
        if self._parent is None and self.receipt is None and self.stored:
            record = self._read()
            if record is not None and record.parent_id:
                return self.app.AsyncResult(record.parent_id)
        return self._parent

    @parent.setter
    def parent(self, parent: Any) -> None:
        self._parent = parent

    @property
    def children(self) -> list[Any] | None:
        """The handles of what it started: what comes after it in a workflow, what its body sent.

        Until it has ended, those that are known here; None where none is. A body's own calls are
        kept with its result, the first 1,000 of them.
        """
        record = self._read() if self.stored else None
        if record is None or record.state not in FINAL_STATES:
            return self._children
        if self._started is None:
            self._started = _children_of(record, self._children, self.app)
        return self._started

    @children.setter
    def children(self, children: list[Any] | None) -> None:
        self._children, self._started = children, None


# While a body runs -------------------------------------------------------------------------------


def trail(children: Iterable[Any], most: int | None = None) -> list[Any]:
    """The ids of handles, of at most `MOST_KEPT` messages."""
    kept, room = list[Any](), MOST_KEPT if most is None else most
    for handle in children:
        if not issubclass(type(handle), ResultBase):
            continue
        first = first_of(handle)
        room -= sum(1 for _ in first.leaves())
        if room < 0:
            break
        kept.append(as_tuple(first))
    return kept


def with_trail(
    result: bytes, value: Any, children: Iterable[Any], headers: Headers, serializer: str, most: int
) -> bytes:
    """A value's encoded form with its body's trail, where that makes it no longer than `most`.

    Args:
        result: its encoded form.
        value: the same.
        children: what the body has sent.
        headers: of its message.
        serializer: of the result.
        most: bytes.
    """
    is_part = headers.chord is not None or (headers.group is not None and headers.chain is not None)
    told = trail(children, MOST_OF_A_PART if is_part else MOST_KEPT)
    longer = dumps(Trailed(value, told), serializer) if told else result
    return longer if len(longer) <= most else result


# From its record ---------------------------------------------------------------------------------


def _children_of(record: Record, known: Sequence[Any] | None, app: AppContext) -> list[Any]:
    """The handles of what an ended message started.

    Args:
        record: of the message.
        known: those of its workflow, where it was enqueued here.
        app: whose message it is.
    """
    found = list(known) if known is not None else _next_ones(record.id, app)
    found += [_handle(each, app) for each in _trail_in(record)]
    return found


def _trail_in(record: Record) -> list[Any]:
    if record.failure:
        return decode_failure(record.failure).trail
    return trail_of(record.result) if record.result else []


def _next_ones(message_id: str, app: AppContext) -> list[Any]:
    """What comes after a message in its workflow, if it ended in success."""
    found, todo = dict[str, None](), [message_id]
    while todo:
        following = dict.fromkeys(
            child
            for record in _read(todo, app, full=True)
            if record is not None and record.state is State.SUCCEEDED
            for child, on, _ in record.edges
            if on == On.SUCCESS
        )
        todo = []
        for child, record in zip(following, _read(list(following), app), strict=True):
            if record is not None and record.task == COLLECT:  # users do not see these
                todo.append(child)
            elif record is None or record.task != TELL:
                found[child] = None
    return [app.AsyncResult(child) for child in found]


def _read(ids: list[str], app: AppContext, *, full: bool = False) -> Iterator[Record | None]:
    for at in range(0, len(ids), _READ_AT_ONCE):
        yield from app.store.read(ids[at : at + _READ_AT_ONCE], full=full)


def _handle(told: Any, app: AppContext) -> Any:
    (own_id, _), members = told
    if members is None:
        return app.AsyncResult(own_id)
    return app.GroupResult(own_id, [_handle(each, app) for each in members])
