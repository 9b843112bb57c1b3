"""A store that lets its worker die at a chosen point, and a trace that does so between lines."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from reliable_tasks.core.codec import loads_call
from reliable_tasks.core.message import decode_headers
from reliable_tasks.core.outcome import Replaced
from reliable_tasks.store.values import batch_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import CodeType, FrameType

    from reliable_tasks.app import App
    from reliable_tasks.core.message import Message
    from reliable_tasks.store.values import Record

__all__ = ["Death", "WatchedStore", "dying_between_lines"]

_PASSED_ON = frozenset(
    {
        *("audit", "audit_cut", "counts", "entries", "find", "health", "held", "load_group"),
        *("locks", "now_ms"),
        *("read", "read_ended", "sessions", "wait", "wait_for_entries", "wait_then_claim"),
        *("close", "close_session", "heartbeat", "open_session", "reap"),
    }
)
"""What leaves nothing half done: looks, and the worker's housekeeping. All else is a point."""


class Death(BaseException):
    """The simulated process is dead: nothing after this point may have an effect."""


class WatchedStore:
    """Wraps a store: counts the points that a worker passes, and kills it at one of them.

    Args:
        store: a real one.
        kill_at: number of the point at which the worker dies, from 0; None for never.

    Attributes:
        points: those passed, in words.
        dead: whether the worker has died; from then on its calls do not arrive.
    """

    def __init__(self, store: Any, kill_at: int | None) -> None:
        self._store = store
        self._kill_at = kill_at
        self._watching = False
        self._calls: dict[str, Message] = {}
        self._tasks: dict[str, str] = {}
        self.points: list[str] = []
        self.dead = False

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Count points within the block."""
        self._watching = True
        try:
            yield
        finally:
            self._watching = False

    def revive(self) -> None:
        """Let another worker take over, and live."""
        self.dead = False
        self._kill_at = None

    def check(self) -> None:
        """Die again if already dead: a body may have caught the exception that killed it."""
        if self.dead:
            raise Death

    def passing(self, where: str) -> None:
        """Pass a point, and die if it is the chosen one."""
        self.check()
        if not self._watching:
            return
        self.points.append(where)
        if len(self.points) - 1 == self._kill_at:
            self.dead = True
            raise Death

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if not callable(verb):
            return verb

        def call(*args: Any, **kwargs: Any) -> Any:
            self.check()
            if name == "enqueue_plain":
                return self.enqueue(batch_of(*args, **kwargs)).receipts
            if name == "exchange":
                return self._exchange(verb, *args)
            if name in _PASSED_ON:
                return verb(*args, **kwargs)
            if name in {"enqueue", "fire"}:
                self._note(args[-1].messages)
            before, after = _around(name, args)
            self.passing(before)
            reply = verb(*args, **kwargs)
            self.passing(after)
            return reply

        return call

    def _exchange(self, verb: Callable[..., Any], session: str, commits: Any, want: Any) -> Any:
        for commit in commits:
            if isinstance(commit.outcome, Replaced):
                self._note(commit.outcome.messages)
        what = ", ".join(
            f"the commit of {self._tasks[commit.id]} ({type(commit.outcome).__name__})"
            for commit in commits
        )
        if commits:
            self.passing(f"before {what}")
        reply = verb(session, commits, want)
        self._tasks.update((claim.id, claim.task) for claim in reply.claims)
        if commits:
            self.passing(f"after {what}")
        elif reply.claims:
            self.passing(f"after {', '.join(claim.task for claim in reply.claims)} was claimed")
        return reply

    def _note(self, messages: Iterable[Message]) -> None:
        self._calls.update((message.id, message) for message in messages)

    def call_of(self, app: App, record: Record) -> str:
        """The call that a record is of, as Python writes it."""
        message = self._calls.get(record.id)
        if message is None:
            return record.task
        serializer = decode_headers(message.headers).serializer
        args, kwargs = loads_call(message.payload, serializer, app.accept_content)
        shown = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
        return f"{record.task}({', '.join(shown)})"


def _around(verb: str, args: tuple[Any, ...]) -> tuple[str, str]:
    """The points before and after a call, in words."""
    if verb == "step":
        _, _, name, value = args
        if value is None:
            return f"before step {name!r}", f"after step {name!r} was begun, before its effect"
        done = f"after step {name!r}"
        return f"{done} took effect, before it was recorded", f"{done} was recorded"
    if verb == "report":
        what = f"reporting the state {args[2]!r}"
    elif verb in {"enqueue", "fire"}:
        what = f"enqueueing {', '.join(message.task for message in args[-1].messages)}"
    else:
        what = f"the call {verb}() to the store"
    return f"before {what}", f"after {what}"


@contextlib.contextmanager
def dying_between_lines(app: App, store: WatchedStore) -> Iterator[None]:
    """Within the block, each line of a task's body is a point as well."""
    names: dict[CodeType, str] = {
        task.__wrapped__.__code__: task.name
        for task in app.tasks.values()
        if hasattr(task.__wrapped__, "__code__")
    }

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        return lines if event == "call" and frame.f_code in names else None

    def lines(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            store.passing(f"before line {frame.f_lineno} of {names[frame.f_code]}")
        return lines

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
