"""Send many lone messages to the store in batches: one is stored while the next is packed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import TYPE_CHECKING, Any, Self

from reliable_tasks import signals
from reliable_tasks.signals.publishing import announce
from reliable_tasks.store.values import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future

    from reliable_tasks.canvas.plan import Call
    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Message
    from reliable_tasks.store.values import Enqueued, Receipt

__all__ = ["BatchSender"]

_Held = list[tuple[int, "Call", "Message"]]


class BatchSender:
    """Sends lone messages to the store in batches.

    Args:
        app: whose messages they are.
        results: the list that gets their handles, in the order of `add`.
    """

    def __init__(self, app: AppContext, results: list[Any]) -> None:
        self._app = app
        self._results = results
        self._size = app.settings.max_batch
        self._held: _Held = []
        self._publish = dict[str, Any]()
        self._sent: tuple[_Held, Future[Enqueued]] | None = None
        self._thread: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.shutdown()

    def add(self, call: Call, message: Message, publish: dict[str, Any]) -> None:
        """Take a message and its place among the results; send those that make a batch.

        Raises:
            AlreadyQueued: one of those sent must not be a duplicate and is one.
        """
        self._held.append((len(self._results), call, message))
        self._results.append(None)
        if publish:
            self._publish.update(publish)
        if len(self._held) == self._size:
            self._send()

    def flush(self) -> None:
        """Send what is left and wait for all of it. Raises as `add` does."""
        self._receive()
        if self._held:
            held, batch, publish = self._take()
            self._place(held, self._app.enqueue(batch, publish, announced=True))

    def _send(self) -> None:
        """Send a batch in a thread, or in the caller's if others have to be asked there.

        Those are the receivers of signals, and a framework, whose transactions belong to a thread.
        """
        asked = self._app.framework or signals.before_task_publish.receivers
        if asked or signals.after_task_publish.receivers:
            self.flush()
            return
        self._receive()  # one at a time: should it be refused, those behind it are not sent
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "reliable_tasks.enqueue_many")
        held, batch, publish = self._take()
        self._sent = held, self._thread.submit(self._app.enqueue, batch, publish)

    def _take(self) -> tuple[_Held, Batch, dict[str, Any]]:
        held, publish = self._held, self._publish
        self._held, self._publish = [], {}
        messages = tuple([message for _, _, message in held])
        if signals.before_task_publish.receivers:
            messages = announce(self._app, messages, publish)
            held = [(at, call, sent) for (at, call, _), sent in zip(held, messages, strict=True)]
        return held, Batch(messages=messages, durable=publish.get("durable")), publish

    def _receive(self) -> None:
        if self._sent is not None:
            (held, future), self._sent = self._sent, None
            self._place(held, future.result())

    def _place(self, held: _Held, enqueued: Enqueued) -> None:
        receipts: Iterable[Receipt | None] = enqueued.receipts or repeat(None, len(held))
        for (at, call, message), receipt in zip(held, receipts, strict=True):
            if receipt is None:  # a framework's transaction stores it later
                self._results[at] = self._app.AsyncResult(message.id, task_name=call.task)
                continue
            self._app.check_receipt(receipt, message, call.options)
            self._results[at] = self._app.handle_of(receipt, call.task)
