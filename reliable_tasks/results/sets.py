"""`ResultSet`: one handle on several messages."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from reliable_tasks.core import clock, context
from reliable_tasks.core.checks import signal_name
from reliable_tasks.core.texts import shown
from reliable_tasks.core.typevars import R
from reliable_tasks.errors import ConfigError, TimeoutError  # noqa: A004 - Celery's name
from reliable_tasks.results.awaiting import AwaitedGroup
from reliable_tasks.results.base import ResultBase
from reliable_tasks.results.eager import EagerResult
from reliable_tasks.results.lineage import lineage
from reliable_tasks.results.wait import LONGEST_WAIT_S, not_ended, wait_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.results.result import AsyncResult


__all__ = ["ResultSet"]

_WINDOW = 100  # handles that are watched at a time, the first that have not ended
_READ_AT_ONCE = 1000
_SHOWN = 10  # members in a repr


class ResultSet(ResultBase, AwaitedGroup[R]):
    """A handle on several messages; its value is the list of their values, in order.

    Args:
        results: the handles of its members: `AsyncResult`s, and sets of them.
        app: whose messages they are; by default the first one's app, or the current one.
        ready_barrier: accepted for Celery compatibility; ignored.

    Raises:
        ConfigError: one of them is no handle.
    """

    def __init__(
        self,
        results: Iterable[Any] = (),
        app: AppContext | None = None,
        ready_barrier: object = None,  # noqa: ARG002 - Celery's position
    ) -> None:
        self.results = list(map(self._checked, results))
        first: AppContext | None = self.results[0].app if self.results else None
        self.app = app or first or context.get_current_app()

    # Members -------------------------------------------------------------------------------------

    @property
    def children(self) -> list[Any]:
        """The handles of its members."""
        return self.results

    def _checked(self, result: Any) -> Any:
        if isinstance(result, ResultBase):
            return result
        raise ConfigError(
            f"a {type(self).__name__} is made of handles, and {shown(result)} is none: give "
            "AsyncResult(id) of each"
        )

    def add(self, result: Any) -> None:
        """Add a handle, if it is not among them.

        Raises:
            ConfigError: it is no handle.
        """
        if result not in self.results:
            self.results.append(self._checked(result))

    def update(self, results: Iterable[Any]) -> None:
        """Add those that are not among them.

        Raises:
            ConfigError: one of them is no handle.
        """
        for result in results:
            self.add(result)

    def remove(self, result: Any) -> None:
        """Take a handle out, or the one with this id.

        Raises:
            KeyError: it is not among them.
        """
        if result not in self.results:
            raise KeyError(result)
        self.results.remove(result)

    def discard(self, result: Any) -> None:
        """Take a handle out, or the one with this id, if it is among them."""
        if result in self.results:
            self.results.remove(result)

    def clear(self) -> None:
        """Take all out."""
        self.results.clear()

    def leaves(self) -> Iterator[Any]:
        """The handles on messages, those of nested groups included, in order."""
        todo = [iter(self.results)]
        while todo:
            for result in todo[-1]:
                if isinstance(result, ResultSet):
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

    # How they stand ------------------------------------------------------------------------------

    def _states(self) -> list[str]:
        """The states of its messages, read in batches; "" for one that has not ended."""
        leaves = list(self.leaves())
        _refresh(leaves, self.app)
        return [leaf.state if _has_ended(leaf) else "" for leaf in leaves]

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
            if isinstance(each, ResultSet)
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
                raise TimeoutError(f"{self._named()}: {said}")
            seen = {leaf.id: leaf.version for leaf in watched}
            self.app.store.wait(seen, min(left, LONGEST_WAIT_S), ended=True)
            if on_interval is not None:
                on_interval()

    def iter_native(
        self,
        timeout: float | None = None,
        interval: float = 0.5,  # noqa: ARG002 - nothing polls at an interval here
        no_ack: bool = True,  # noqa: ARG002 - Celery's position
        on_message: Callable[[dict[str, Any]], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields (id, {"status", "result", …}) of each message once it has ended.

        Raises:
            TimeoutError: they had not all ended in time.
        """
        for leaf in self._as_they_end(timeout, on_interval):
            value = leaf.get(propagate=False, disable_sync_subtasks=False)
            told = {"status": leaf.state, "result": value, "task_id": leaf.id}
            if on_message is not None:
                on_message(told)
            yield leaf.id, told

    def then(
        self,
        callback: Callable[[Self], Any],
        on_error: Callable[[Self], Any] | None = None,
        weak: bool = False,  # noqa: ARG002 - Celery's position
    ) -> Self:
        """Call `callback` with this handle once all have ended (`on_error` if not in success).

        It is called in a thread, which keeps the program alive until then.
        """
        leaves, lock = list(self.leaves()), threading.Lock()
        left = len(leaves)

        def one_ended(_: Any) -> None:
            nonlocal left
            with lock:
                left -= 1
                if left > 0:
                    return
            chosen = callback if on_error is None or self.successful() else on_error
            chosen(self)

        for leaf in leaves:
            leaf.then(one_ended)
        if not leaves:
            callback(self)
        return self

    def maybe_throw(
        self, callback: Callable[[str, Any], Any] | None = None, propagate: bool = True
    ) -> None:
        """Raise what one of them raised, if any has."""
        self._states()
        for leaf in self.leaves():
            if _has_ended(leaf):
                leaf.maybe_throw(propagate=propagate, callback=callback)

    maybe_reraise = maybe_throw

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

    def _named(self) -> str:
        return "a set of results"

    def __eq__(self, other: object) -> bool:
        return self.results == other.results if isinstance(other, ResultSet) else NotImplemented

    __hash__ = None  # type: ignore[assignment] # its members may change

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._members()}>"

    def _members(self) -> str:
        shown_ones = ", ".join(map(str, self.results[:_SHOWN]))
        return f"[{shown_ones}{', …' * (len(self.results) > _SHOWN)}]"

    def __reduce__(self) -> Any:
        return type(self), (self.results,)


def _refresh(handles: list[AsyncResult[Any]], app: AppContext) -> None:
    """Refresh the handles that had not ended, many at a time."""
    open_ = [handle for handle in handles if not _has_ended(handle)]
    for at in range(0, len(open_), _READ_AT_ONCE):
        part = open_[at : at + _READ_AT_ONCE]
        for handle, record in zip(part, app.store.read([h.id for h in part]), strict=True):
            handle.found(record)


def _has_ended(leaf: Any) -> bool:
    return isinstance(leaf, EagerResult) or leaf._final is not None  # noqa: SLF001 - its kin
