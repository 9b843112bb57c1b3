"""Send many lone calls to the store in batches: one is stored while the next is packed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from reliable_tasks import signals
from reliable_tasks.results.result import handle_of
from reliable_tasks.signals.publishing import announce
from reliable_tasks.store.values import Batch, ReceiptKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Kind, Message
    from reliable_tasks.store.values import Receipt

__all__ = ["BatchSender"]

_BATCH_BYTES = 4_194_304


class _Held(NamedTuple):
    """A call that is to be sent: its message, or of a plain one what that is made of."""

    at: int
    options: Mapping[str, Any]
    message: Message | None
    kind: Kind | None = None
    message_id: str = ""
    payload: bytes = b""

    def made(self) -> Message:
        """The message, for a batch that is not of one kind."""
        if self.kind is not None:
            return self.kind.message(self.message_id, self.payload)
        assert self.message is not None  # noqa: S101 - it is one or the other
        return self.message


class BatchSender:
    """Sends lone calls to the store in batches.

    Args:
        app: whose calls they are.
        results: the list that gets their handles, in the order of `add`.
    """

    def __init__(self, app: AppContext, results: list[Any]) -> None:
        self._app = app
        self._results = results
        self._most = app.settings.max_batch
        self._held: list[_Held] = []
        self._bytes = 0
        self._publish = dict[str, Any]()
        self._sent: tuple[list[_Held], Future[Sequence[Receipt]]] | None = None
        self._thread: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.shutdown()

    def add(self, message: Message, options: Mapping[str, Any], publish: Mapping[str, Any]) -> None:
        """Take a message and its place among the results; send those that make a batch.

        Raises:
            AlreadyQueued: one of those sent must not be a duplicate and is one.
        """
        held = _Held(len(self._results), options, message)
        self._add(held, len(message.payload) + len(message.headers), publish)

    def add_plain(
        self, kind: Kind, message_id: str, payload: bytes, publish: Mapping[str, Any]
    ) -> None:
        """Take a plain call, which is the same with less work. Raises as `add` does."""
        held = _Held(len(self._results), {}, None, kind, message_id, payload)
        self._add(held, len(payload), publish)

    def _add(self, held: _Held, size: int, publish: Mapping[str, Any]) -> None:
        self._held.append(held)
        self._results.append(None)
        self._bytes += size
        if publish:
            self._publish.update(publish)
        if len(self._held) == self._most or self._bytes >= _BATCH_BYTES:
            self._send()

    def flush(self) -> None:
        """Send what is left and wait for all of it. Raises as `add` does."""
        self._receive()
        if self._held:
            held, store = self._take()
            self._place(held, store())

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
        held, store = self._take()
        self._sent = held, self._thread.submit(store)

    def _take(self) -> tuple[list[_Held], Callable[[], Sequence[Receipt]]]:
        """What is held, and what stores it."""
        held, publish = self._held, self._publish
        self._held, self._publish, self._bytes = [], {}, 0
        kind = held[0].kind
        if kind is not None and all(each.kind is kind for each in held):
            ids, payloads = [each.message_id for each in held], [each.payload for each in held]
            return held, partial(self._app.store_plain, kind, ids, payloads, publish)
        messages = tuple([each.made() for each in held])
        if signals.before_task_publish.receivers:
            messages = announce(self._app, messages, publish)
            held = [
                each._replace(message=sent, kind=None)
                for each, sent in zip(held, messages, strict=True)
            ]
        return held, partial(self._store, messages, publish)

    def _store(
        self, messages: tuple[Message, ...], publish: Mapping[str, Any]
    ) -> Sequence[Receipt]:
        batch = Batch(messages=messages, durable=publish.get("durable"))
        return self._app.enqueue(batch, publish, announced=True).receipts

    def _receive(self) -> None:
        if self._sent is not None:
            (held, future), self._sent = self._sent, None
            self._place(held, future.result())

    def _place(self, held: list[_Held], stored: Sequence[Receipt]) -> None:
        receipts: Iterable[Receipt | None] = stored or repeat(None, len(held))
        for each, receipt in zip(held, receipts, strict=True):
            name = each.kind.task if each.kind is not None else each.made().task
            if receipt is None:  # a framework's transaction stores it later
                self._results[each.at] = self._app.AsyncResult(each.made().id, task_name=name)
                continue
            if receipt.kind != ReceiptKind.CREATED:
                self._app.check_receipt(receipt, each.made(), each.options)
            self._results[each.at] = handle_of(receipt, name, self._app)
