"""Publishing: the events of a batch, and patience while the store is unavailable."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from reliable_tasks import events, signals
from reliable_tasks.core import clock
from reliable_tasks.core.backoff import Backoff
from reliable_tasks.core.retry import DEFAULT_MAX_RETRIES
from reliable_tasks.errors import StoreUnavailable, TaskIdConflict
from reliable_tasks.signals import publishing
from reliable_tasks.store.values import ReceiptKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reliable_tasks.config.conf import Settings
    from reliable_tasks.core.message import Message
    from reliable_tasks.store.protocol import ProducerStore
    from reliable_tasks.store.values import Batch, Enqueued, Receipt

__all__ = ["conflict_of", "emit_stored", "enqueue_again", "pauses_s", "tell_stored"]


def tell_stored(messages: Sequence[Message], receipts: Sequence[Receipt]) -> None:
    """Emit the events of stored messages, and send `after_task_publish` for each."""
    told_of_all = events.listening["message.enqueued"]
    for message, receipt in zip(messages, receipts, strict=True):
        if told_of_all or receipt.kind != ReceiptKind.CREATED:
            emit_stored(message, receipt)
    if signals.after_task_publish.receivers:
        publishing.announced(messages, receipts)


def emit_stored(message: Message, receipt: Receipt) -> None:
    """Emit that a message was stored, or that one like it was there already."""
    about = {
        "task": message.task,
        "id": receipt.id,
        "root_id": message.root_id or receipt.id,
        "queue": message.queue,
        "once_key": message.once.key if message.once else None,
    }
    if receipt.kind in {ReceiptKind.CREATED, ReceiptKind.PUBLISHED}:
        delay_s = message.delay_ms / 1000
        events.emit("message.enqueued", **about, delay=delay_s, next_at=message.eta_ms)
    elif receipt.kind == ReceiptKind.CONFLICT:
        said = _warning_of(message, receipt)
        events.emit("message.conflict", **about, holder_task=receipt.holder_task, message=said)
    else:
        events.emit("message.duplicate", **about, kind=receipt.kind, holder=receipt.holder)


def conflict_of(message: Message, receipt: Receipt) -> TaskIdConflict:
    """The error of a call whose id another call has."""
    countdown = receipt.countdown_ms / 1000
    return TaskIdConflict(message.id, message.task, receipt.holder_task, countdown)


def _warning_of(message: Message, receipt: Receipt) -> str:
    """What to say of it; said at once where no log listens for it: a call is missing."""
    said = str(conflict_of(message, receipt))
    if not events.enabled("message.conflict"):
        logging.getLogger(__name__).warning("%s", said)
    return said


def enqueue_again(
    store: ProducerStore,
    batch: Batch,
    settings: Settings,
    options: Mapping[str, Any],
    away: StoreUnavailable,
) -> Enqueued:
    """Retry an enqueue while the store is unavailable: Celery's publish `retry_policy`.

    It sleeps between the tries, unlike retries of messages, because its caller waits for the
    answer. An enqueue is idempotent by its message's id, so repeating it is safe.

    Args:
        store: where to.
        batch: what to store.
        settings: say whether and how to try again.
        options: of the call; its `retry` and `retry_policy` win over the settings. A policy has
            `max_retries` (None for ever), `interval_start`, `interval_step` and `interval_max`,
            in seconds.
        away: what the first try raised.

    Raises:
        StoreUnavailable: it is not to be retried, or the store is away after all the tries.
    """
    for pause_s in pauses_s(settings, options):
        clock.sleep(pause_s)
        try:
            return store.enqueue(batch)
        except StoreUnavailable as again:
            away = again
    raise away


def pauses_s(settings: Settings, options: Mapping[str, Any]) -> Iterator[float]:
    """The pauses before each further try of an enqueue; none where it is not to be retried."""
    if not options.get("retry", settings.task_publish_retry):
        return
    policy = options.get("retry_policy") or settings.task_publish_retry_policy
    most = policy.get("max_retries", DEFAULT_MAX_RETRIES)
    backoff = Backoff(
        first_s=policy.get("interval_start", 0),
        longest_s=policy.get("interval_max", 1),
        factor=1.0,
        step_s=policy.get("interval_step", 0.2),
    )
    failures = 1
    while most is None or failures <= most:
        yield backoff.pause_s(failures)
        failures += 1
