"""A batch of messages to store, and the receipts for it."""

from collections.abc import Sequence
from enum import StrEnum

from reliable_tasks.core.message import Kind, Message
from reliable_tasks.errors import MessageTooLarge, StoreError
from reliable_tasks.store.values.base import StoreOptions, Value

__all__ = ["Batch", "Enqueued", "Receipt", "ReceiptKind", "batch_of", "check_batch"]


class Batch(Value, frozen=True, kw_only=True):
    """Messages to store.

    They are stored in one atomic step where some of them wait for others. Calls of which none waits
    for another, and what a stage holds, are stored in several steps where that would take long.

    Attributes:
        messages: at most `max_batch` of them.
        stage: name of a stage that holds the messages of a large workflow until it is sealed; it is
            dropped if that is not within `stage_ttl_ms` of its last batch.
        seal: with `stage`: this batch is the last, let the workflow start.
        after: what an earlier batch put into the stage; refused where that is gone.
        keep_ended: an id stays taken when its record has ended: what a broker delivers again must
            not run again, however late.
        durable: durability asked for this call (Redis only), see the settings reference.
    """

    messages: tuple[Message, ...] = ()
    stage: str | None = None
    seal: bool = False
    after: str | None = None
    keep_ended: bool = False
    durable: str | None = None


class ReceiptKind(StrEnum):
    """What became of an enqueued message."""

    CREATED = "created"
    DUPLICATE = "duplicate"
    """Not stored: the once-key (or the id) is held by `Receipt.holder`."""
    CONFLICT = "conflict"
    """Not stored: another call, of another task or with other arguments, has its id."""
    REPLACED = "replaced"
    """Not stored: its arguments replaced those of the waiting `Receipt.holder`."""
    RERUN = "rerun"
    """It runs once more after the present one: as itself, or as the waiting `Receipt.holder`."""
    PUBLISHED = "published"
    """Not stored yet: a broker has it, and the bridge will store it."""
    JOINED = "joined"
    """Stored as a mirror of `Receipt.holder`."""


class Receipt(Value, frozen=True, kw_only=True):
    """The store's answer for one message of a batch.

    `holder` is the id of the message that holds the key (or the id); `countdown_ms` is how long
    that is expected to last: the rest of the lock's timeout, else of the holder's delay, else 0.
    `holder_task` is the task of the other call, where that is a conflict.
    """

    id: str
    kind: ReceiptKind = ReceiptKind.CREATED
    holder: str | None = None
    countdown_ms: int = 0
    holder_task: str = ""


class Enqueued(Value, frozen=True, kw_only=True):
    """Receipts in the batch's order, and how many messages of a sealed stage are still held.

    While `held` is not 0 call again with the same stage, sealed and empty (or leave it to `reap`).
    """

    receipts: tuple[Receipt, ...] = ()
    held: int = 0


def batch_of(
    kind: Kind, ids: Sequence[str], payloads: Sequence[bytes], durable: str | None = None
) -> Batch:
    """Plain calls of one kind as a batch of messages."""
    return Batch(messages=tuple(map(kind.message, ids, payloads)), durable=durable)


def check_batch(batch: Batch, options: StoreOptions) -> None:
    """Refuse a batch that is over the store's limits.

    Raises:
        MessageTooLarge: a message is over `max_message_bytes`.
        StoreError: there are more than `max_batch` messages.
    """
    if len(batch.messages) > options.max_batch:
        raise StoreError(
            f"a batch of {len(batch.messages)} messages is larger than max_batch="
            f"{options.max_batch}; enqueue in parts, or with a stage"
        )
    for m in batch.messages:
        size = len(m.payload) + len(m.headers)
        if size > options.max_message_bytes:
            raise MessageTooLarge(
                f"message {m.id} of task {m.task!r} has {size} bytes, more than max_message_bytes="
                f"{options.max_message_bytes}; store the data elsewhere and send a reference"
            )
