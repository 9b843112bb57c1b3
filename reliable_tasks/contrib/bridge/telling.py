"""Results out, as the bridge uses it: a store that keeps what tells them, and who tells."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from reliable_tasks import events
from reliable_tasks.config.masks import mask_url
from reliable_tasks.core import clock, ids
from reliable_tasks.errors import ConfigError
from reliable_tasks.store.values import Batch, Enqueued, Receipt, ReceiptKind, batch_of

from .beside import Stop, end, forked, has_ended, listening
from .extra import EXTRA, installed
from .tells import tells_of, with_tells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Kind, Message
    from reliable_tasks.store.protocol import Store

    from .teller import Teller

__all__ = ["Telling", "TellingStore", "teller_of"]

_REFUSED: Final = frozenset({ReceiptKind.DUPLICATE, ReceiptKind.CONFLICT})
_WITH_TELLS: Final = 3  # messages that one becomes
_PAUSE_S: Final = 1.0  # a teller that dies at once must not burn the machine


class TellingStore:
    """A store, but for `enqueue`: its receipts are those of the messages that were given.

    Args:
        app: whose messages they are.
        store: where to.
        backend: the URL of the result backend.
    """

    def __init__(self, app: AppContext, store: Store, backend: str) -> None:
        self._app, self._store, self._backend = app, store, backend
        self._most = store.options.max_batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def enqueue(self, batch: Batch) -> Enqueued:
        """Store messages with what tells of them; may be repeated, as the store's own may.

        Raises:
            StoreError: as the store's own does.
        """
        messages = batch.messages
        if not messages:
            return self._store.enqueue(batch)
        receipts = list[Receipt]()
        if batch.stage is not None or any(m.edges or m.waits for m in messages):
            receipts += self._whole(batch, messages)
        else:
            size = max(1, self._most // _WITH_TELLS)
            for at in range(0, len(messages), size):
                part = messages[at : at + size]
                receipts += self._put(batch, self._told(part))[-len(part) :]
        refused = [m for m, r in zip(messages, receipts, strict=True) if r.kind in _REFUSED]
        if refused:
            # Nothing will end that these would tell of. A bridge that dies here gets the message
            # again, and comes here again.
            self._store.revoke([each for m in refused for each in tells_of(m)])
        return Enqueued(receipts=tuple(receipts))

    def enqueue_plain(
        self,
        kind: Kind,
        ids: Sequence[str],
        payloads: Sequence[bytes],
        durable: str | None = None,
    ) -> tuple[Receipt, ...]:
        """Store plain calls of one kind, as `enqueue` does."""
        return self.enqueue(batch_of(kind, ids, payloads, durable)).receipts

    def _told(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages, behind those that tell of them."""
        return with_tells(self._app, messages, self._backend)

    def _put(self, batch: Batch, messages: Sequence[Message], **how: Any) -> tuple[Receipt, ...]:
        part = msgspec.structs.replace(batch, messages=tuple(messages), **how)
        return self._store.enqueue(part).receipts

    def _whole(self, batch: Batch, messages: Sequence[Message]) -> Sequence[Receipt]:
        """Store what belongs together: all of it starts, or nothing does."""
        told, count = self._told(messages), len(messages)
        if len(told) <= self._most:
            return self._put(batch, told)[-count:]
        stage, receipts = batch.stage or ids.new_id(), list[Receipt]()
        for at in range(0, len(told), self._most):
            part = told[at : at + self._most]
            receipts += self._put(batch, part, stage=stage, seal=False)
        held = int(batch.stage is None)
        while held:
            held = self._store.enqueue(Batch(stage=stage, seal=True)).held
        return receipts[-count:]


def teller_of(app: AppContext, backend: str | None, broker: str, name: str) -> Teller | None:
    """Who tells a backend; None without one.

    Raises:
        ConfigError: Celery, or a library that this backend needs, is not installed.
    """
    if backend is None:
        return None
    if not installed("celery"):
        raise ConfigError(
            f"results={mask_url(backend)!r} is written by Celery's own classes, and Celery is not "
            f"installed: {EXTRA}"
        )
    from .teller import Teller  # noqa: PLC0415 - imports Celery

    return Teller(app, backend, broker, name)


class Telling:
    """Within the block a teller works beside the bridge, in a process of its own.

    A backend may be slow, and a driver may hold the interpreter; neither keeps the bridge from its
    work. A teller that dies is started anew. This is also what the bridge is stopped by, and asks.

    Args:
        app: whose connections are closed before a fork.
        teller: None where nothing is told.
        stop: what ends both.
        once: tell what is there when the block ends, and nothing before.
    """

    def __init__(self, app: AppContext, teller: Teller | None, stop: Stop, *, once: bool) -> None:
        self._app, self._teller, self._stop, self._once = app, teller, stop, once
        self._pid = 0
        self._start_at = 0.0

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._pid:
            end(self._pid)
        if self._teller is not None and self._once and kind is None:
            self._teller.drain()

    def _start(self) -> None:
        if self._teller is None or self._once:
            return
        self._start_at = clock.monotonic() + _PAUSE_S
        try:
            self._pid = forked(self._app, partial(_tell, self._teller, os.getpid()))
        except OSError as no_room:  # what is to be told waits in the store
            events.emit("child.not_started", error=str(no_room), delay=_PAUSE_S)

    def _look(self) -> None:
        """Start the teller anew if it has died."""
        if self._pid and has_ended(self._pid):
            self._pid = 0
            events.emit("child.died", worker="", pid=0, how="teller", ids=[])
        if not self._pid and clock.monotonic() >= self._start_at:
            self._start()

    def is_set(self) -> bool:
        """Whether the bridge is to end."""
        self._look()
        return self._stop.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for that, for at most `timeout` seconds."""
        return self._stop.wait(timeout)


def _tell(teller: Teller, parent: int) -> int:
    with listening(parent) as stop:
        teller.run(stop)
    return 0
