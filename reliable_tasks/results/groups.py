"""`GroupResult`: one handle on several messages, nested as the canvas was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import msgspec

from reliable_tasks.core import clock, context, ids
from reliable_tasks.core.checks import signal_name
from reliable_tasks.core.typevars import R
from reliable_tasks.errors import ReliableTasksError, TimeoutError  # noqa: A004 - Celery's name
from reliable_tasks.results.awaiting import AwaitedGroup
from reliable_tasks.results.eager import EagerResult
from reliable_tasks.results.lineage import lineage
from reliable_tasks.results.result import AsyncResult, state_of
from reliable_tasks.results.wait import LONGEST_WAIT_S, not_ended, wait_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from reliable_tasks.core.context import AppContext


__all__ = ["GroupResult", "ResultSet", "result_from_tuple"]

_WINDOW = 100  # handles that are watched at a time, the first that have not ended
_READ_AT_ONCE = 1000


class GroupResult(AwaitedGroup[R]):
    """A handle on several messages; its value is the list of their values, in order.

    Its members are `AsyncResult`s, and `GroupResult`s where groups were nested.

    Attributes:
        id: of the group.
        results: the handles of its members.
        parent: the handle of what came before the group in a chain.
    """

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - Celery's name
        results: Iterable[Any] | None = None,
        parent: Any = None,
        app: AppContext | None = None,
    ) -> None:
        self.id = id or ids.new_id()
        self.results: list[Any] = list(results or ())
        self.parent = parent
        self.app = app or context.get_current_app()

    # Members -------------------------------------------------------------------------------------

    @property
    def children(self) -> list[Any]:
        """The handles of its members."""
        return self.results

    def add(self, result: Any) -> None:
        """Add a handle, if it is not among them."""
        if result not in self.results:
            self.results.append(result)

    def discard(self, result: Any) -> None:
        """Take a handle out, if it is among them."""
        if result in self.results:
            self.results.remove(result)

    def leaves(self) -> Iterator[Any]:
        """The handles on messages, those of nested groups included, in order."""
        todo = [iter(self.results)]
        while todo:
            for result in todo[-1]:
                if isinstance(result, GroupResult):
                    todo.append(iter(result.results))
                    break
                yield result
            else:
                todo.pop()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> Any:
        return self.results[index]

    def __bool__(self) -> bool:
        return True

    # How they stand ------------------------------------------------------------------------------

    def _states(self) -> list[str]:
        """The states of its messages, read in batches; "" for one that has not ended."""
        found = dict[int, str]()
        open_ = list[AsyncResult[Any]]()
        for at, leaf in enumerate(leaves := list(self.leaves())):
            if isinstance(leaf, EagerResult) or leaf._final is not None:  # noqa: SLF001 - its kin
                found[at] = leaf.state
            else:
                open_.append(leaf)
        _refresh(open_, self.app)
        for at, leaf in enumerate(leaves):
            if at not in found:
                record = leaf._final  # noqa: SLF001 - its kin
                found[at] = state_of(record) if record is not None else ""
        return [found[at] for at in range(len(leaves))]

    def ready(self) -> bool:
        """Whether all have ended."""
        return all(self._states())

    def successful(self) -> bool:
        """Whether all have ended in success."""
        return all(state == "SUCCESS" for state in self._states())

    def failed(self) -> bool:
        """Whether any has ended in failure."""
        return "FAILURE" in self._states()

    def waiting(self) -> bool:
        """Whether any has not ended."""
        return not self.ready()

    def completed_count(self) -> int:
        """How many messages have ended in success."""
        return self._states().count("SUCCESS")

    # Waiting -------------------------------------------------------------------------------------

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,  # noqa: ARG002 - nothing polls at an interval here
        callback: Callable[[str, Any], Any] | None = None,
        no_ack: bool = True,  # noqa: ARG002 - Celery's position
        on_message: Callable[[dict[str, Any]], Any] | None = None,
        disable_sync_subtasks: bool = True,
        on_interval: Callable[[], Any] | None = None,
    ) -> list[R]:
        """Wait until all have ended and give what they returned, nested as the group is.

        Args:
            timeout: seconds to wait for all of them; None waits for ever.
            propagate: raise what a body raised, as soon as it is seen; otherwise it takes its
                place in the list.
            interval: accepted for Celery compatibility; ignored.
            callback: called with id and value of each message.
            no_ack: accepted for Celery compatibility; ignored.
            on_message: called with a dict about each message at its end.
            disable_sync_subtasks: refuse to wait inside a body that a worker runs.
            on_interval: called after each wait of at most a second.

        Raises:
            TimeoutError: they had not all ended in time.
            ResultGone: one was there, and the store keeps nothing of it any more.
            RuntimeError: called inside a task's body, where it could wait for its own worker.
            Exception: what a body raised; `TaskRevokedError`, `ChordError`.
        """
        if disable_sync_subtasks:
            context.refuse_waiting()
        for leaf in self._as_they_end(timeout, on_interval):
            value = leaf.get(
                propagate=propagate, on_message=on_message, disable_sync_subtasks=False
            )
            if callback is not None:
                callback(leaf.id, value)
        return self._values(propagate)

    join = get
    join_native = get

    def _values(self, propagate: bool) -> list[Any]:
        return [
            each._values(propagate)  # noqa: SLF001 - one class
            if isinstance(each, GroupResult)
            else each.get(propagate=propagate, disable_sync_subtasks=False)
            for each in self.results
        ]

    def _as_they_end(
        self, timeout: float | None, on_interval: Callable[[], Any] | None = None
    ) -> Iterator[Any]:
        """Yield each handle once its message has ended, watching at most `_WINDOW` at a time."""
        timeout = wait_span(timeout)
        deadline = None if timeout is None else clock.monotonic() + timeout
        coming = iter(list(self.leaves()))
        watched = list[Any]()
        while True:
            while len(watched) < _WINDOW and (leaf := next(coming, None)) is not None:
                watched.append(leaf)
            if not watched:
                return
            _refresh(watched, self.app)
            ended = [leaf for leaf in watched if _has_ended(leaf)]
            yield from ended
            if ended:
                watched = [leaf for leaf in watched if not _has_ended(leaf)]
                continue
            for leaf in watched:
                leaf.tell_if_gone()
            left = LONGEST_WAIT_S if deadline is None else deadline - clock.monotonic()
            if left <= 0:
                said = not_ended(watched[0], timeout, " and others")
                raise TimeoutError(f"group {self.id}: {said}")
            seen = {leaf.id: leaf.version for leaf in watched}
            self.app.store.wait(seen, min(left, LONGEST_WAIT_S), ended=True)
            if on_interval is not None:
                on_interval()

    def iter_native(
        self, timeout: float | None = None, on_interval: Callable[[], Any] | None = None, **_: Any
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields (id, {"status", "result", …}) of each message once it has ended.

        Raises:
            TimeoutError: they had not all ended in time.
        """
        for leaf in self._as_they_end(timeout, on_interval):
            value = leaf.get(propagate=False, disable_sync_subtasks=False)
            yield leaf.id, {"status": leaf.state, "result": value, "task_id": leaf.id}

    def then(self, callback: Callable[[Any], Any], on_error: Any = None) -> Self:
        """Call `callback` with the handle of each message once it has ended."""
        for leaf in self.leaves():
            leaf.then(callback, on_error)
        return self

    def maybe_throw(self, propagate: bool = True, callback: Any = None) -> None:
        """Raise what one of them raised, if any has."""
        self._states()
        for leaf in self.leaves():
            if _has_ended(leaf):
                leaf.maybe_throw(propagate=propagate, callback=callback)

    maybe_reraise = maybe_throw

    def collect(self, timeout: float | None = None, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        """Wait for the group and its children; yields (handle, value) pairs."""
        todo: list[Any] = [self]
        while todo:
            handle = todo.pop(0)
            yield handle, handle.get(timeout=timeout, **kwargs)
            todo.extend(handle.children or ())

    # Acting on them ------------------------------------------------------------------------------

    def revoke(
        self,
        connection: object = None,  # noqa: ARG002 - Celery's position
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """End what has not started, of its members and of what they wait for.

        Args:
            connection: accepted for Celery compatibility; ignored.
            terminate: stop those that run as well.
            signal: by which signal, SIGTERM by default.
            wait: until they have ended.
            timeout: at most this many seconds.

        Raises:
            TimeoutError: they had not all ended in time.
        """
        by, timeout = signal_name(signal), wait_span(timeout)
        found = lineage(self)
        for at in range(0, len(found), _READ_AT_ONCE):
            part = found[at : at + _READ_AT_ONCE]
            self.app.store.revoke(part, terminate=terminate, signal=by)
        if wait:
            for _ in self._as_they_end(timeout):
                pass

    def forget(self) -> None:
        """Delete what the store keeps of those that have ended."""
        found = [leaf.id for leaf in self.leaves() if not isinstance(leaf, EagerResult)]
        for at in range(0, len(found), _READ_AT_ONCE):
            self.app.store.drop(found[at : at + _READ_AT_ONCE])

    # Keeping it ----------------------------------------------------------------------------------

    def as_tuple(self) -> tuple[tuple[str, Any], list[Any]]:
        """Ids and parents in Celery's nesting, from which `result_from_tuple` makes it again."""
        parent = self.parent.as_tuple() if self.parent is not None else None
        return (self.id, parent), [each.as_tuple() for each in self.results]

    def save(self, backend: object = None) -> Self:  # noqa: ARG002 - Celery's position
        """Store the ids of its members for `restore`, for as long as results are kept."""
        self.app.store.save_group(self.id, msgspec.json.encode(_ids(self)), self.app.result_ttl_ms)
        return self

    def delete(self, backend: object = None) -> None:  # noqa: ARG002 - Celery's position
        """Forget what `save` kept."""
        self.app.store.delete_group(self.id)

    @classmethod
    def restore(
        cls,
        id: str,  # noqa: A002 - Celery's name
        backend: object = None,  # noqa: ARG003 - Celery's position
        app: AppContext | None = None,
    ) -> GroupResult | None:
        """The group that was saved under this id; None if there is none."""
        app = app or context.get_current_app()
        saved = app.store.load_group(id)
        return None if saved is None else _of_ids(msgspec.json.decode(saved), app)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GroupResult):
            return NotImplemented
        return self.id == other.id and self.results == other.results

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        shown = ", ".join(map(str, self.results[:10])) + ", …" * (len(self.results) > 10)  # noqa: PLR2004
        return f"<GroupResult: {self.id} [{shown}]>"

    def __reduce__(self) -> Any:
        return GroupResult, (self.id, self.results)


ResultSet = GroupResult


def _refresh(handles: list[AsyncResult[Any]], app: AppContext) -> None:
    """Refresh the handles that had not ended, many at a time."""
    open_ = [h for h in handles if not isinstance(h, EagerResult) and h._final is None]  # noqa: SLF001
    for at in range(0, len(open_), _READ_AT_ONCE):
        part = open_[at : at + _READ_AT_ONCE]
        for handle, record in zip(part, app.store.read([h.id for h in part]), strict=True):
            handle.found(record)


def _has_ended(leaf: Any) -> bool:
    return isinstance(leaf, EagerResult) or leaf._final is not None  # noqa: SLF001 - its kin


def _ids(result: Any) -> Any:
    """The ids of a handle as plain nested values."""
    if isinstance(result, GroupResult):
        return [result.id, [_ids(each) for each in result.results]]
    return result.id


def _of_ids(saved: Any, app: AppContext) -> Any:
    if isinstance(saved, str):
        return AsyncResult(saved, app=app)
    group_id, members = saved
    return GroupResult(group_id, [_of_ids(each, app) for each in members], app=app)


def result_from_tuple(value: Any, app: AppContext | None = None) -> Any:
    """The handle that `as_tuple` describes.

    Raises:
        ReliableTasksError: it describes none.
    """
    app = app or context.get_current_app()
    try:
        (own_id, parent), members = value
    except (TypeError, ValueError):
        raise ReliableTasksError(f"{value!r} is not the tuple of a result") from None
    before = None if parent is None else result_from_tuple(parent, app)
    if members is None:
        return AsyncResult(own_id, app=app, parent=before)
    return GroupResult(own_id, [result_from_tuple(each, app) for each in members], before, app)
