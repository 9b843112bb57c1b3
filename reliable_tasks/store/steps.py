"""Cut what is large into steps: nobody else has to wait for a long script or transaction."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from reliable_tasks.core.message import Message
from reliable_tasks.core.outcome import Replaced, Succeeded
from reliable_tasks.errors import MessageTooLarge
from reliable_tasks.store import values as v

__all__ = [
    "STEP_BYTES",
    "STEP_MESSAGES",
    "STORED_AT_ONCE",
    "all_of",
    "check_whole",
    "in_exchanges",
    "in_rounds",
    "in_steps",
    "is_plain",
    "parts_of",
    "size_of",
    "stored_together",
]

T = TypeVar("T")

STEP_MESSAGES: Final = 100
"""How many messages one step of an operator's or a housekeeper's verb may change."""
STORED_AT_ONCE: Final = 250
"""How many messages one step stores, or starts, of which some are more than a plain call."""
STEP_BYTES: Final = 4_194_304
"""How many bytes of arguments or results one step takes, unless a single one has more."""
WHOLE_BYTES: Final = 16_777_216
"""How many bytes messages may have that can only be stored in one step."""


def _nothing(_: object) -> int:
    return 0


def in_steps(
    items: Sequence[T], most: int = STEP_MESSAGES, size_of: Callable[[T], int] = _nothing
) -> Iterator[Sequence[T]]:
    """Slices of at most `most` items, and of at most `STEP_BYTES` unless it is a single item."""
    first = size = 0
    for at, item in enumerate(items):
        added = size_of(item)
        if at > first and (at - first >= most or size + added > STEP_BYTES):
            yield items[first:at]
            first, size = at, 0
        size += added
    if items:
        yield items[first:]


def all_of(parts: Sequence[v.Enqueued]) -> v.Enqueued:
    """The answer for a batch that was stored in these parts."""
    if len(parts) == 1:
        return parts[0]
    receipts = tuple([receipt for part in parts for receipt in part.receipts])
    return v.Enqueued(receipts=receipts, held=parts[-1].held)


def is_plain(message: Message) -> bool:
    """Whether a message is nothing but one call, to be run as soon as possible."""
    times = message.eta_ms or message.delay_ms or message.expires_ms or message.expires_in_ms
    return not (message.once or message.edges or message.waits or times)


def size_of(message: Message) -> int:
    """How many bytes a message brings along."""
    return len(message.payload) + len(message.headers)


def stored_together(messages: Sequence[Message]) -> int:
    """How many such messages one step may store, by the heaviest of them."""
    return STEP_MESSAGES if any(m.once is not None for m in messages) else STORED_AT_ONCE


def parts_of(batch: v.Batch, most: int) -> Iterator[v.Batch]:
    """The steps in which a batch is stored, each of at most `most` messages; often only one.

    After a death between two of them the first ones are stored. To store the batch again, which is
    idempotent, stores the rest.

    Raises:
        MessageTooLarge: it has to be one step, and is too large for that.
    """
    messages, stage = batch.messages, batch.stage
    if stage is None and any(m.edges or m.waits for m in messages):
        check_whole(messages, "messages that wait for one another, and no stage")
    elif len(messages) > 1:
        *earlier, last = in_steps(messages, most, size_of)
        for some in earlier:
            yield v.Batch(
                messages=tuple(some),
                stage=stage,
                after=batch.after,
                keep_ended=batch.keep_ended,
                durable=batch.durable,
            )
        batch = msgspec.structs.replace(batch, messages=tuple(last))
    yield batch


def check_whole(messages: Sequence[Message], what: str) -> None:
    """Refuse messages that are stored in one step, and are too large for that.

    Raises:
        MessageTooLarge: they are.
    """
    size = sum(map(size_of, messages))
    if size > WHOLE_BYTES and len(messages) > 1:
        raise MessageTooLarge(
            f"{what}: these {len(messages)} messages have {size / 2**20:.0f} MiB of arguments, and "
            f"are stored in one step of at most {WHOLE_BYTES >> 20} MiB; store the data elsewhere "
            "and send references"
        )


def _size_of(commit: v.Commit) -> int:
    """About how many bytes it brings along."""
    outcome = commit.outcome
    if type(outcome) is Succeeded:
        return len(outcome.result)
    if type(outcome) is Replaced:
        return sum(len(m.payload) for m in outcome.messages)
    values = (getattr(outcome, name, None) for name in ("failure", "payload", "headers"))
    return sum(len(value) for value in values if value)


def in_exchanges(
    exchange: Callable[[Sequence[v.Commit], v.ClaimRequest | None], v.Exchange],
    commits: Sequence[v.Commit],
    want: v.ClaimRequest | None,
) -> v.Exchange:
    """Commit in several steps where results have too many bytes for one; the last one claims."""
    verdicts = list[v.Verdict]()
    *earlier, last = in_steps(commits, len(commits), _size_of) if commits else (commits,)
    for some in earlier:
        verdicts += exchange(some, None).verdicts
    done = exchange(last, want)
    return msgspec.structs.replace(done, verdicts=(*verdicts, *done.verdicts)) if earlier else done


_SUMMED: Final = ("requeued", "dead_lettered", "promoted", "expired", "deleted", "unparked")


def _both(earlier: v.Reaped, later: v.Reaped) -> v.Reaped:
    """What two steps did together."""
    summed = {name: getattr(earlier, name) + getattr(later, name) for name in _SUMMED}
    return msgspec.structs.replace(later, **summed)


def in_rounds(step: Callable[[int], v.Reaped], limit: int) -> v.Reaped:
    """A round of `limit` messages of each kind, in steps; a later one only while there is more."""
    done = step(min(limit, STEP_MESSAGES))
    for left in range(limit - STEP_MESSAGES, 0, -STEP_MESSAGES):
        if not done.more:
            break
        done = _both(done, step(min(left, STEP_MESSAGES)))
    return done
