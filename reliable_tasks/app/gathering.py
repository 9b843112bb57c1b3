"""Enqueue for coroutines: what gathers while a batch is stored goes into the next one.

A call that is awaited waits in a list, and one thread stores what is in it. It is started once the
event loop has run what it had to run, so that calls that are made side by side share one batch. The
batch is one atomic step, as that of `enqueue_many`; each call gets its own receipt, or its own
error. The event loop does no I/O, and none of its executor's threads is taken.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from reliable_tasks import events, signals
from reliable_tasks.app import publish
from reliable_tasks.app.standby import Standby
from reliable_tasks.core import ids
from reliable_tasks.errors import StoreUnavailable
from reliable_tasks.signals import publishing
from reliable_tasks.store.values import Batch, Receipt, ReceiptKind
from reliable_tasks.tasks.calls import PUBLISH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Kind, Message

__all__ = ["Gathering"]

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 32  # made as they are needed, for whole workflows


class _Call:
    """A message that a coroutine waits to see stored.

    Attributes:
        message: to store; of a plain call only what is added to its kind is known at first.
        publish: how.
        kind, payload: of a plain call.
        future: of the loop that waits.
        context: the caller's, for the receivers of signals; None where there are none.
        announced: whether `before_task_publish` was sent: once, however often it is tried.
        taken: whether a batch has it: from then on the store may have it as well.
        receipt: what the store answered.
    """

    __slots__ = (
        *("_message", "announced", "context", "future", "id", "kind", "loop", "payload"),
        *("publish", "receipt", "taken"),
    )

    def __init__(
        self,
        message: Message | None,
        options: Mapping[str, Any],
        kind: Kind | None = None,
        payload: bytes = b"",
    ) -> None:
        self._message = message
        self.kind = kind
        self.payload = payload
        self.id = ids.new_id() if message is None else message.id
        self.publish = {n: options[n] for n in PUBLISH if n in options} if options else {}
        self.context: contextvars.Context | None = None
        self.announced = self.taken = False
        self.receipt: Receipt | None = None
        self.begin()

    @property
    def message(self) -> Message:
        if self._message is None:
            assert self.kind is not None  # noqa: S101 - it has the one or the other
            self._message = self.kind.message(self.id, self.payload)
        return self._message

    @message.setter
    def message(self, message: Message) -> None:
        self._message = message

    def begin(self) -> None:
        """Wait, for the first time or again."""
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Receipt] = self.loop.create_future()

    def tried(self) -> None:
        """After an error a store may know it, and has to look: a plain call is so no more."""
        self.message, self.kind = self.message, None

    def standing(self) -> str:
        """What holds of a call that was cancelled."""
        if self.receipt is not None:
            return f"message {self.receipt.id} was enqueued"
        if not self.taken:
            return f"message {self.id} was not enqueued"
        return (
            f"message {self.id} was on its way to the store: it is enqueued unless the "
            "store was away or refused it; AsyncResult(id).exists() tells"
        )


_Settled = tuple[_Call, "BaseException | None"]


class Gathering:
    """The calls of one app's coroutines.

    Args:
        app: whose store they go to.
    """

    def __init__(self, app: AppContext) -> None:
        self._app = app
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._storing = False
        self._starts_in: asyncio.AbstractEventLoop | None = None
        self._storer = Standby("reliable_tasks.enqueue", self._store_all)
        self._threads: ThreadPoolExecutor | None = None

    def _executor(self) -> ThreadPoolExecutor:
        if self._pid != os.getpid():  # a fork has neither the threads nor the loops of its parent
            self._start_afresh()
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_THREADS, "reliable_tasks.async")
            return self._threads

    def close(self) -> None:
        """End the threads, once what they have begun is done; the next call makes new ones."""
        if self._pid != os.getpid():
            return
        self._storer.close()
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None

    async def in_thread(self, what: str, function: Callable[[], T]) -> T:
        """Call a function in a thread, in this context.

        A cancelled one says in a note of its `CancelledError` whether the call had begun; it then
        goes on to its end.
        """
        run = partial(contextvars.copy_context().run, function)
        began = self._executor().submit(run)
        try:
            return await asyncio.wrap_future(began)
        except asyncio.CancelledError as exc:
            done = "was not begun" if began.cancelled() else "goes on to its end all the same"
            exc.add_note(f"{what} {done}")
            raise

    async def enqueue_plain(self, kind: Kind, payload: bytes) -> Receipt:
        """Store a plain call, as `enqueue` does a message."""
        return await self._stored(_Call(None, {}, kind, payload))

    async def enqueue(self, message: Message, options: Mapping[str, Any]) -> Receipt:
        """Store a message, together with those that are to be stored just now.

        While the store is away it is tried again, as `retry_policy` says; nothing waits for that
        but this coroutine. A cancelled one says in a note of its `CancelledError` what holds.

        Raises:
            StoreUnavailable: the store is still away after all the tries.
            StoreError: it refused this message.
        """
        return await self._stored(_Call(message, options))

    async def _stored(self, call: _Call) -> Receipt:
        if signals.before_task_publish.receivers or signals.after_task_publish.receivers:
            call.context = contextvars.copy_context()
        pauses = None
        try:
            while True:
                try:
                    self._add(call)
                    return await call.future
                except StoreUnavailable:
                    pauses = pauses or publish.pauses_s(self._app.settings, call.publish)
                    pause_s = next(pauses, None)
                    if pause_s is None:
                        raise
                    await asyncio.sleep(pause_s)
                    call.tried()
                    call.begin()
        except (asyncio.CancelledError, GeneratorExit) as exc:  # or the coroutine was closed
            self._withdraw(call)
            exc.add_note(call.standing())
            raise

    def _add(self, call: _Call) -> None:
        if self._pid != os.getpid():
            self._start_afresh()
        with self._lock:
            self._waiting.append(call)
            if self._storing or self._starts_in is call.loop:
                return  # the thread finds it, or will
            self._starts_in = call.loop
        call.loop.call_soon(self._start)

    def _start(self) -> None:
        with self._lock:
            self._starts_in = None
            if self._storing or not self._waiting:
                return
            self._storing = True
        try:
            self._storer.ask()
        except RuntimeError as exc:  # the interpreter ends
            with self._lock:
                self._storing = False
                waiting = list(self._waiting)
                self._waiting.clear()
            _settle([(call, exc) for call in waiting])

    def _withdraw(self, call: _Call) -> None:
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)

    # In the thread -------------------------------------------------------------------------------

    def _store_all(self) -> None:
        while calls := self._take():
            try:
                self._store(calls)
            except BaseException as exc:  # noqa: BLE001 - who waits must hear of it, whatever it is
                _settle([(call, exc) for call in calls])

    def _take(self) -> list[_Call]:
        """The next batch: those that wait and are to be stored in the same way."""
        with self._lock:
            if not self._waiting:
                self._storing = False
                return []
            first, most = self._waiting[0].publish, self._app.settings.max_batch
            alike = [call for call in self._waiting if call.publish == first]
            calls = alike[:most]
            if len(calls) == len(self._waiting):
                self._waiting.clear()
            else:
                others = set(self._waiting).difference(calls)
                self._waiting = deque(call for call in self._waiting if call in others)
            for call in calls:
                call.taken = True
            return calls

    def _store(self, calls: Sequence[_Call]) -> None:
        settled = list[_Settled]()
        ready = calls
        if signals.before_task_publish.receivers:
            ready = [call for call in calls if _succeeds(self._announce, call, settled)]
        if ready:
            self._store_announced(ready, settled)
        _settle(settled)

    def _store_announced(self, calls: Sequence[_Call], settled: list[_Settled]) -> None:
        try:
            receipts = self._receipts_of(calls)
        except StoreUnavailable as away:
            settled += [(call, _of_its_own(away)) for call in calls]
            return
        except Exception as refused:  # noqa: BLE001 - it is the answer to the one that caused it
            if len(calls) == 1:
                settled.append((calls[0], refused))
                return
            for call in calls:  # nothing was stored; each one on its own shows which is refused
                call.tried()
                self._store_announced([call], settled)
            return
        if not receipts:  # all were created
            receipts = [Receipt(id=call.id) for call in calls]
        for call, receipt in zip(calls, receipts, strict=True):
            call.receipt = receipt
        told = signals.after_task_publish.receivers or events.listening["message.enqueued"]
        if told or any(receipt.kind != ReceiptKind.CREATED for receipt in receipts):
            calls = [call for call in calls if _succeeds(self._tell, call, settled)]
        settled += [(call, None) for call in calls]

    def _receipts_of(self, calls: Sequence[_Call]) -> Sequence[Receipt]:
        """Store calls in one atomic step; none at all: all were created."""
        kind, durable = calls[0].kind, calls[0].publish.get("durable")
        if kind is not None and all(call.kind is kind for call in calls):
            made = [call.id for call in calls]
            plain: Sequence[Receipt] = self._app.store.enqueue_plain(
                kind, made, [call.payload for call in calls], durable
            )
            return plain
        messages = tuple(call.message for call in calls)
        receipts: Sequence[Receipt] = self._app.store.enqueue(
            Batch(messages=messages, durable=durable)
        ).receipts
        return receipts

    def _announce(self, call: _Call) -> None:
        if call.context is not None and not call.announced:
            announce = partial(publishing.announce, self._app, (call.message,), call.publish)
            (call.message,) = call.context.run(announce)
            call.announced = True

    def _tell(self, call: _Call) -> None:
        assert call.receipt is not None  # noqa: S101 - it was stored
        tell = partial(publish.tell_stored, (call.message,), (call.receipt,))
        if call.context is None:
            tell()
        else:
            call.context.run(tell)


def _succeeds(function: Callable[[_Call], None], call: _Call, settled: list[_Settled]) -> bool:
    """Call a function that calls a user's; what that raises is an answer to the one call."""
    try:
        function(call)
    except BaseException as exc:  # noqa: BLE001 - raised by the `await`, as `delay` raises it
        settled.append((call, exc))
        return False
    return True


def _of_its_own(away: StoreUnavailable) -> StoreUnavailable:
    """An error for one of many: each adds to its traceback where it is raised."""
    own = type(away)(*away.args)
    own.__cause__ = away
    return own


def _settle(settled: Sequence[_Settled]) -> None:
    """Hand out the answers: each loop is woken once."""
    for loop in {call.loop for call, _ in settled}:
        its = [each for each in settled if each[0].loop is loop]
        try:
            loop.call_soon_threadsafe(_answer, its)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def _answer(settled: Sequence[_Settled]) -> None:
    for call, exc in settled:
        if call.future.done():
            continue
        if exc is not None:
            call.future.set_exception(exc)
        elif call.receipt is not None:
            call.future.set_result(call.receipt)
