"""Results over AMQP (`rpc://`): a queue of this process's own, and a thread that reads it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import kombu

from reliable_tasks.config.masks import mask_url
from reliable_tasks.core import clock, ids
from reliable_tasks.core.backoff import Backoff
from reliable_tasks.core.readable import readable
from reliable_tasks.errors import StoreUnavailable

from .publishing import connection_to, errors_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Replies"]

_MOST_KEPT = 10_000
"""So many results are kept for handles that have not asked yet; the oldest make room."""
_UNUSED_S = 3600.0  # a queue whose process is gone is deleted after that
_READ_S = 0.5
_NOTICE_S = 0.05
_ACCEPT = ["json", "msgpack"]
_BACKOFF = Backoff(first_s=0.1, longest_s=5.0)


class Replies:
    """The results that came for messages of this process.

    The queue outlives its connection for a while, so that what is told while the broker restarts
    is there afterwards.

    Args:
        url: of the broker.
        options: kombu's `transport_options`.
        patience_s: how long to wait for a broker that does not answer, when the first message goes
            out; one that refuses is told at once.
    """

    def __init__(self, url: str, options: Mapping[str, Any], patience_s: float) -> None:
        self._url, self._options, self._patience_s = url, options, patience_s
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._metas: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._wanted = threading.Event()
        self._failures = 0
        self._failed = ""
        self.queue = ids.new_id()

    def address(self) -> str:
        """The queue to answer to; it is there when this returns.

        Raises:
            StoreUnavailable: the broker is away.
        """
        if self._pid != os.getpid():  # a fork is another process, with a queue of its own
            self._start_afresh()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="reliable_tasks.replies", daemon=True
                )
                self._thread.start()
        if not self._ready.is_set():
            self._await_queue()
        return self.queue

    def _await_queue(self) -> None:
        """Let the thread try now; what that comes to is the answer, a failure as well."""
        with self._news:
            before = self._failures
            self._wanted.set()
            self._news.wait_for(
                lambda: self._ready.is_set() or self._failures > before, self._patience_s
            )
            if not self._ready.is_set():
                said = self._failed or f"no answer within {self._patience_s:g} s"
                raise StoreUnavailable(
                    f"the broker {mask_url(self._url)} gives no queue for results: {said}"
                )

    def meta(self, message_id: str) -> dict[str, Any]:
        """What was told of a message last."""
        with self._lock:
            return self._metas.get(message_id, {})

    def wait(self, seen: Sequence[str], timeout_s: float, wake_fd: int = -1) -> None:
        """Wait until something may have come, for one of these messages or another."""
        until = clock.monotonic() + timeout_s
        with self._news:
            before = [self._metas.get(message_id) for message_id in seen]
            while before == [self._metas.get(message_id) for message_id in seen]:
                left = until - clock.monotonic()
                if left <= 0 or (wake_fd >= 0 and readable(wake_fd, 0)):
                    return
                self._news.wait(min(left, _NOTICE_S) if wake_fd >= 0 else left)

    def forget(self, message_id: str) -> bool:
        """Drop what was told of a message."""
        with self._lock:
            return self._metas.pop(message_id, None) is not None

    def close(self) -> None:
        """End the thread; the next message starts anew."""
        if self._pid != os.getpid() or self._thread is None:
            return
        self._closing.set()
        self._wanted.set()
        self._thread.join(self._patience_s)
        self._start_afresh()

    # In the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        closing, wanted, failures = self._closing, self._wanted, 0
        while not closing.is_set():
            connection = connection_to(self._url, self._options, self._patience_s)
            try:
                self._consume(connection, closing)
                failures = 0
            except Exception as away:  # noqa: BLE001 - transports raise what their libraries do
                failures += 1
                with self._news:
                    self._failures += 1
                    self._failed = str(away) or type(away).__name__
                    self._news.notify_all()
                wanted.wait(_BACKOFF.pause_s(failures))
                wanted.clear()
            finally:
                with contextlib.suppress(*errors_of(connection)):
                    connection.collect(socket_timeout=1.0)

    def _consume(self, connection: kombu.Connection, closing: threading.Event) -> None:
        connection.ensure_connection(max_retries=1, interval_start=0)
        queue = kombu.Queue(
            self.queue,
            kombu.Exchange(""),
            self.queue,
            durable=True,
            auto_delete=False,
            expires=_UNUSED_S,
        )
        with connection.channel() as channel:
            bound = queue(channel)
            bound.queue_declare()
            with kombu.Consumer(
                channel, [bound], callbacks=[self._came], accept=_ACCEPT, auto_declare=False
            ):
                with self._news:
                    self._ready.set()
                    self._news.notify_all()
                while not closing.is_set():
                    with contextlib.suppress(TimeoutError):
                        connection.drain_events(timeout=_READ_S)
            bound.delete()

    def _came(self, body: Any, message: Any) -> None:
        """Keep what was told; what is no result is somebody's mistake, and of no use to anyone."""
        if isinstance(body, dict) and isinstance(body.get("task_id"), str):
            with self._news:
                self._metas.pop(body["task_id"], None)
                self._metas[body["task_id"]] = body
                while len(self._metas) > _MOST_KEPT:
                    self._metas.popitem(last=False)
                self._news.notify_all()
        message.ack()
