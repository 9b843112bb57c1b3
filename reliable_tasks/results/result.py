"""Handles on messages; those on groups are in `groups`, those on eager calls in `eager`."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Self

from reliable_tasks.core import context
from reliable_tasks.core.additions import extension_of
from reliable_tasks.core.checks import message_id, signal_name
from reliable_tasks.core.codec import loads, loads_call
from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.core.message import FINAL_STATES, State, decode_headers
from reliable_tasks.core.typevars import R
from reliable_tasks.errors import ReliableTasksError, ResultGone
from reliable_tasks.results.awaiting import Awaited
from reliable_tasks.results.lineage import lineage
from reliable_tasks.results.offspring import Related
from reliable_tasks.results.states import PROPAGATED, exception_of, raised_by_get, state_of
from reliable_tasks.results.then import then
from reliable_tasks.results.wait import wait_for_end, wait_span
from reliable_tasks.store.values import ReceiptKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.store.values import Receipt, Record

__all__ = ["AsyncResult", "handle_of", "state_of"]


class AsyncResult(Related, Awaited[R]):
    """A handle on one message, made from its id alone.

    It equals its id as text. A final answer is remembered; everything else is read anew.

    Attributes:
        id: of the message.
        receipt: what the store answered when it was enqueued here.
        stored: whether the store has a message for it.
    """

    stored = True

    def __init__(
        self,
        id: str | UUID | None = None,  # noqa: A002 - Celery's name
        backend: object = None,  # noqa: ARG002 - Celery's position
        task_name: str | None = None,
        app: AppContext | None = None,
        parent: Any = None,
        *,
        task_id: str | None = None,
    ) -> None:
        if id is None and task_id is None:
            raise ReliableTasksError("a result needs an id: AsyncResult('…')")
        # Any text is accepted as an id; an unknown one is PENDING.
        self.id: str = id if type(id) is str else message_id("id", task_id if id is None else id)
        self.app = app or context.get_current_app()
        self._parent = parent
        self.receipt: Receipt | None = None
        self._task_name = task_name
        self._final: Record | None = None
        self._was_there = False
        self.version = -1

    @property
    def task_id(self) -> str:
        """The id."""
        return self.id

    @property
    def duplicate(self) -> bool:
        """Whether the call that gave this handle found its once-key held by this message."""
        return self.receipt is not None and self.receipt.holder == self.id

    # What the store says -------------------------------------------------------------------------

    def _read(self, *, full: bool = False) -> Record | None:
        if self._final is not None and not full:
            return self._final
        return self.found(self.app.store.read([self.id], full=full)[0])

    def found(self, record: Record | None) -> Record | None:
        """Take over the record that the store returned."""
        self.version = record.version if record else -1
        self._was_there = self._was_there or record is not None
        if record is not None and record.state in FINAL_STATES:
            self._final = record
        return record

    def tell_if_gone(self) -> None:
        """Raise if the message was there and has disappeared, because then it never ends.

        An id of which nothing was ever heard here is PENDING, as Celery has it: its message may
        still be on its way.

        Raises:
            ResultGone: it was there, since it was enqueued by this handle, or had been read.
        """
        stored = self.receipt is not None and self.receipt.kind != "published"
        if self.version < 0 and (self._was_there or stored):
            raise ResultGone(
                f"message {self.id} was there and is gone: its result has expired "
                f"(result_expires={self.app.settings.result_expires!r}), or it was forgotten"
            )

    def _read_ended(self, wait_s: float) -> Record | None:
        """Its record if it ends within `wait_s`, else None."""
        if self._final is None:
            self._final = self.app.store.read_ended(self.id, wait_s)
        return self._final

    @property
    def state(self) -> str:
        """PENDING (unknown ids too), STARTED, RETRY, SUCCESS, FAILURE, REVOKED or a custom one."""
        return state_of(self._read())

    status = state

    def ready(self) -> bool:
        """Whether it has ended."""
        record = self._read()
        return record is not None and record.state in FINAL_STATES

    def successful(self) -> bool:
        """Whether it has ended in success."""
        record = self._read()
        return record is not None and record.state == State.SUCCEEDED

    def failed(self) -> bool:
        """Whether it has ended in failure."""
        return self.state == "FAILURE"

    def exists(self) -> bool:
        """Whether the store knows a message with this id."""
        return self._read() is not None

    @property
    def result(self) -> Any:
        """What the body returned, what it raised, or the meta of its last `update_state`."""
        return self._value_of(self._read())

    info = result

    def _value_of(self, record: Record | None) -> Any:
        if record is None:
            return None
        if record.state == State.SUCCEEDED:
            value = self._decoded(record.result) if record.result else None
            extension = extension_of(value)  # its own value comes before those it added
            return value if extension is None else extension[0]
        state = state_of(record)
        if state in PROPAGATED:
            return exception_of(record, self.app.exceptions, self._decoded)
        if state == "RETRY" and record.failure:
            return self.app.exceptions.rebuild(decode_failure(record.failure))
        return None if record.progress_meta is None else self._decoded(record.progress_meta)

    def _decoded(self, data: bytes) -> Any:
        return loads(data, self.app.settings.result_serializer, self.app.accept_results)

    @property
    def traceback(self) -> str | None:
        """The traceback of the failure, as text."""
        record = self._read()
        if record is None or not record.failure:
            return None
        return decode_failure(record.failure).traceback or None

    @property
    def date_done(self) -> dt.datetime | None:
        """When it ended."""
        record = self._read()
        if record is None or record.ended_ms is None:
            return None
        return dt.datetime.fromtimestamp(record.ended_ms / 1000, dt.UTC)

    @property
    def name(self) -> str | None:
        """Name of the task."""
        if self._task_name is None:
            record = self._read()
            self._task_name = record.task if record else None
        return self._task_name

    @property
    def retries(self) -> int | None:
        """How often it was retried."""
        record = self._read()
        return record.attempt - 1 if record else None

    @property
    def queue(self) -> str | None:
        """Name of its queue."""
        record = self._read()
        return record.queue if record else None

    @property
    def worker(self) -> str | None:
        """The worker that claimed it last."""
        record = self._read()
        return record.worker if record else None

    @property
    def args(self) -> tuple[Any, ...] | None:
        """The positional arguments, while the store keeps them: until success."""
        return self._call()[0]

    @property
    def kwargs(self) -> dict[str, Any] | None:
        """The keyword arguments, while the store keeps them: until success."""
        return self._call()[1]

    def _call(self) -> tuple[tuple[Any, ...] | None, dict[str, Any] | None]:
        record = self._read(full=True)
        if record is None or record.payload is None:
            return None, None
        headers = decode_headers(record.headers)
        return loads_call(record.payload, headers.serializer, self.app.accept_content)

    # Waiting -------------------------------------------------------------------------------------

    def get(  # type: ignore[override] # the twin knows those that make sense there
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,  # noqa: ARG002 - nothing polls at an interval here
        no_ack: bool = True,  # noqa: ARG002 - Celery's position
        follow_parents: bool = True,
        callback: Callable[[str, Any], Any] | None = None,
        on_message: Callable[[dict[str, Any]], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
        disable_sync_subtasks: bool = True,
        EXCEPTION_STATES: Any = None,  # noqa: ARG002, N803 - Celery's
        PROPAGATE_STATES: Any = None,  # noqa: ARG002, N803 - Celery's
    ) -> R:
        """Wait until it has ended and give what the body returned.

        Args:
            timeout: seconds to wait; None waits for ever.
            propagate: raise what the body raised; otherwise return it.
            interval: accepted for Celery compatibility; ignored.
            no_ack: accepted for Celery compatibility; ignored.
            follow_parents: of a chord raise what the member raised that failed first, where this
                handle knows its header; otherwise the body's own `ChordError`.
            callback: called with the id and the value.
            on_message: called with a dict (`status`, `result`, `task_id`, …) at each progress
                report and at the end.
            on_interval: called after each wait of at most a second.
            disable_sync_subtasks: refuse to wait inside a body that a worker runs.
            EXCEPTION_STATES: accepted for Celery compatibility; ignored.
            PROPAGATE_STATES: accepted for Celery compatibility; ignored.

        Raises:
            TimeoutError: it had not ended in time.
            ResultGone: it was there, and the store keeps nothing of it any more.
            RuntimeError: called inside a task's body, where it could wait for its own worker.
            StoreUnavailable: the store could not be reached: at first, or later for a minute.
            Exception: what the body raised; `TaskRevokedError`, `ChordError`.
        """
        if self.ignored:
            return None  # type: ignore[return-value]
        if disable_sync_subtasks:
            context.refuse_waiting()
        tell = None
        if on_message is not None:
            tell = lambda record: on_message(self._as_dict(record, self._value_of(record)))  # noqa: E731
        record = wait_for_end(self, self._read, self._read_ended, timeout, tell, on_interval)
        value = self._value_of(record)
        if on_message is not None:
            on_message(self._as_dict(record, value))
        if propagate and state_of(record) in PROPAGATED:
            raise raised_by_get(value, follow_parents and self._parent is not None)
        if callback is not None:
            callback(self.id, value)
        return value  # type: ignore[no-any-return]

    wait = get

    def _as_dict(self, record: Record, value: Any) -> dict[str, Any]:
        return {
            "status": state_of(record),
            "result": value,
            "task_id": self.id,
            "traceback": self.traceback if record.failure else None,
            "children": [],
            "date_done": record.ended_ms and self.date_done,
        }

    def then(
        self,
        callback: Callable[[Self], Any],
        on_error: Callable[[Self], Any] | None = None,
        weak: bool = False,  # noqa: ARG002 - Celery's position
    ) -> Self:
        """Call `callback` with this handle once it has ended (`on_error` if not in success).

        It is called in a thread, which keeps the program alive until then.
        """
        then(self, callback, on_error)
        return self

    def maybe_throw(self, propagate: bool = True, callback: Any = None) -> Any:
        """The current value; raises it if the message ended in an exception."""
        record = self._read()
        value = self._value_of(record)
        if propagate and state_of(record) in PROPAGATED:
            raise value
        if callback is not None:
            callback(self.id, value)
        return value

    maybe_reraise = maybe_throw

    # Acting on it --------------------------------------------------------------------------------

    def forget(self) -> None:
        """Delete what the store keeps of it, if it has ended."""
        self._final = None
        self._was_there = bool(self.app.store.drop([self.id])) or self._was_there

    def revoke(
        self,
        connection: object = None,  # noqa: ARG002 - Celery's position
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> str:
        """End it if it has not started; with `terminate` stop it if it runs.

        A running one that is not terminated may still succeed, but is not retried.

        Args:
            connection: accepted for Celery compatibility; ignored.
            terminate: stop its body; the pool `threads` cannot.
            signal: which one its process gets, SIGTERM by default: see the command `revoke`.
            wait: until it has ended.
            timeout: at most this many seconds.

        Returns:
            "revoked", "running", "ended" or "unknown": what was found.
        """
        timeout = wait_span(timeout)
        # The parts before it in a chain must not start either.
        ids = lineage(self)
        reply = self.app.store.revoke(ids, terminate=terminate, signal=signal_name(signal))[0]
        if wait and reply.found == "running":
            wait_for_end(self, self._read, self._read_ended, timeout)
        return reply.found

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<AsyncResult: {self.id}>"

    def __hash__(self) -> int:
        return hash(self.id)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AsyncResult):
            return self.id == other.id
        return self.id == other if isinstance(other, str) else NotImplemented

    def __reduce__(self) -> Any:
        return (AsyncResult, (self.id,))


def handle_of(receipt: Receipt, task_name: str | None, app: AppContext) -> AsyncResult[Any]:
    """The handle for a receipt; for a duplicate, on the message that was there already."""
    there = receipt.holder if receipt.kind != ReceiptKind.JOINED else None
    name = None if there else task_name
    result: AsyncResult[Any] = AsyncResult(there or receipt.id, task_name=name, app=app)
    result.receipt = receipt
    return result
