"""The report on a soak that went wrong: its faults, and what happened to the broken messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from reliable_tasks.audit.history import message_history

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reliable_tasks.audit.verify import Violation
    from tests.soak.account import Account

__all__ = ["Event", "report_of"]

MOST = 10
"""How many broken messages a report shows."""
AROUND_MS = 2000


class Event(NamedTuple):
    """Something that was done to the soak."""

    at_ms: int
    text: str


def report_of(found: Sequence[Violation], account: Account, events: Sequence[Event]) -> str:
    """What was broken, the lives of the first few messages of it, and all that was done."""
    lines = [f"BROKEN {violation}" for violation in found]
    for message_id in list(dict.fromkeys(v.id for v in found if v.id))[:MOST]:
        lines += ["", f"The life of {message_id}:", *_sorted(_life(message_id, account, events))]
    lines += ["", "What was done:", *_sorted((e.at_ms, "fault", e.text) for e in events)]
    return "\n".join(lines)


def _life(
    message_id: str, account: Account, events: Sequence[Event]
) -> Iterator[tuple[int, str, str]]:
    """The store's story of a message, the producer's, its bodies', and the faults meanwhile."""
    record = next((r for r in account.records if r.id == message_id), None)
    rows = [row for row in account.rows if row.id == message_id]
    lines = message_history(record, rows) if record or rows else []
    own = [(line.at_ms, "store", f"{line.event:<10} {line.text}") for line in lines]
    own += [
        (note.at_ms, "producer", f"{note.event} {note.text}".rstrip())
        for note in account.notes
        if note.id == message_id
    ]
    for effect in account.effects:
        if effect.id == message_id and effect.at_ms:
            text = f"{effect.kind} in process {effect.pid}: attempt {effect.attempt}"
            own.append((effect.at_ms, "body", f"{text}, fence {effect.fence}"))
    yield from own
    times = [at_ms for at_ms, _, _ in own] or [0]
    for event in events:
        if min(times) - AROUND_MS <= event.at_ms <= max(times) + AROUND_MS:
            yield event.at_ms, "fault", event.text


def _sorted(lines: Iterable[tuple[int, str, str]]) -> Iterator[str]:
    for at_ms, who, text in sorted(lines, key=lambda line: line[0]):
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        yield f"  {at:%H:%M:%S}.{at_ms % 1000:03}  {who:<9} {text}"
