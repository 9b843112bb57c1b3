"""The scheduler: decides which slots are due, and fires them. Time is passed in.

Any number of schedulers may share a store. `Store.fire` advances an entry and enqueues its messages
in one compare-and-set, so that of those who try it for a slot one succeeds, and the others find
another next slot there. Nothing is remembered that the store does not know.
"""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Final

import msgspec

from reliable_tasks import events
from reliable_tasks.core.clock import iso
from reliable_tasks.errors import StoreFull, StoreReadOnly, StoreUnavailable
from reliable_tasks.signals.publishing import announce, announced
from reliable_tasks.store.values import Batch, Entry, Receipt, ReceiptKind

from .definition import UNRULY
from .encoding import Timetable, decode_spec, decode_template, messages_of_slot, slot_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Message
    from reliable_tasks.store.protocol import ScheduleStore

    from .encoding import Spec
    from .plan import DuePlan

__all__ = ["Scheduler"]

CATCH_UP_LIMIT: Final = 10
"""How many slots of one entry are fired before other due entries get their turn."""
TICKS_PER_STEP: Final = 500
"""How many entries are served before the caller gets a turn."""
FIRINGS_PER_STEP: Final = 100
"""How many slots are fired before the caller may read the clock and the entries again."""
RETRY_MS: Final = 60_000
"""How long an entry rests if its slot could not be fired for a reason of its own."""

# Reading costs some 10 µs for each entry. These bound the share of a core that it takes. A hint
# that something has changed is followed at once, unless there was one a moment ago. Entries are
# also read now and then without a hint, since a change may come between reading and waiting.
_GAP_MS, _GAP_MS_PER_ENTRY = 50, 0.5
_READ_AGAIN_MS, _READ_AGAIN_MS_PER_ENTRY, _READ_AGAIN_MS_AT_MOST = 5_000, 6, 60_000
_SET_BACK_MS = 1000


class Scheduler:
    """Fires the slots of a store's entries.

    Args:
        store: where the entries are.
        name: of the beat, for the log.
        stopping: whether the beat is to stop; asked before each firing.
        app: whose receivers hear of the messages before they are stored; None for nobody's.

    Attributes:
        of_code: the names of the entries of the code that were there when they were last read.
    """

    def __init__(
        self,
        store: ScheduleStore,
        *,
        name: str = "beat",
        stopping: Callable[[], bool] = lambda: False,
        app: AppContext | None = None,
    ) -> None:
        self.name = name
        self._store = store
        self._app = app
        self.of_code: frozenset[str] = frozenset()
        self._stopping = stopping
        self._fired = 0
        self._namespace = store.options.namespace
        self._entries: dict[str, Entry] = {}
        self._due: list[tuple[int, int, str]] = []
        self._turns = itertools.count()
        self._timetables: dict[str, tuple[int, Timetable]] = {}
        self._resting: dict[str, tuple[int, int]] = {}
        self._read_ms: int | None = None
        self._outdated = False

    @property
    def size(self) -> int:
        """How many entries were there when they were last read."""
        return len(self._entries)

    def changed(self) -> None:
        """Note a hint that entries may have changed: one of the next steps reads them again."""
        self._outdated = True

    def read_again(self) -> None:
        """Note that entries have changed: the next step reads them first."""
        self._read_ms = None

    def step(self, now_ms: int) -> int:
        """Fire what is due.

        Returns:
            when to call again, in milliseconds since the epoch; at once if that has passed.

        Raises:
            StoreError: the store cannot do it now; what was due is still due.
        """
        if self._read_ms is None or now_ms >= self._next_read_ms() or self._went_back(now_ms):
            self._read(now_ms)
        self._fired = 0
        for _ in range(TICKS_PER_STEP):
            if not self._due or self._due[0][0] > now_ms or self._is_enough():
                break
            _, _, name = self._due[0]
            again_ms = self._tick(self._entries[name], now_ms)
            heapq.heappop(self._due)
            if again_ms is not None:
                # An entry that is still due queues up behind the others that are, so that a long
                # backlog of one keeps none of them waiting.
                heapq.heappush(self._due, (max(again_ms, now_ms), next(self._turns), name))
        upcoming = self._due[0][0] if self._due else self._next_read_ms()
        return min(upcoming, self._next_read_ms())

    def _is_enough(self) -> bool:
        return self._fired >= FIRINGS_PER_STEP or self._stopping()

    # Reading --------------------------------------------------------------------------------------

    def _next_read_ms(self) -> int:
        count = len(self._entries)
        if self._outdated:
            pause = _GAP_MS + _GAP_MS_PER_ENTRY * count
        else:
            pause = _READ_AGAIN_MS + _READ_AGAIN_MS_PER_ENTRY * count
        return (self._read_ms or 0) + round(min(pause, _READ_AGAIN_MS_AT_MOST))

    def _went_back(self, now_ms: int) -> bool:
        """Whether the clock was set back, so that the next reading would come much too late."""
        return self._read_ms is not None and now_ms < self._read_ms - _SET_BACK_MS

    def _read(self, now_ms: int) -> None:
        self._outdated = False
        self._entries = {entry.name: entry for entry in self._store.entries()}
        self.of_code = frozenset(n for n, entry in self._entries.items() if entry.origin == "code")
        self._read_ms = now_ms
        for known in (self._timetables, self._resting):
            for name in known.keys() - self._entries.keys():
                del known[name]
        self._due = [
            (self._rested(entry, entry.next_ms), next(self._turns), entry.name)
            for entry in self._entries.values()
            if entry.next_ms is not None and not entry.paused
        ]
        heapq.heapify(self._due)

    def _rested(self, entry: Entry, due_ms: int) -> int:
        version, until_ms = self._resting.get(entry.name, (-1, 0))
        return max(due_ms, until_ms) if version == entry.version else due_ms

    def _timetable(self, entry: Entry) -> Timetable:
        version, made = self._timetables.get(entry.name, (-1, None))
        if made is None or version != entry.version:
            made = Timetable.of(decode_spec(entry.spec))
            self._timetables[entry.name] = (entry.version, made)
        return made

    # Firing ---------------------------------------------------------------------------------------

    def _tick(self, entry: Entry, now_ms: int) -> int | None:
        """Serve one entry that is due; returns when it is due again."""
        try:
            return self._serve(entry, now_ms)
        except (StoreFull, StoreReadOnly, StoreUnavailable):
            raise  # not about this entry
        except UNRULY as error:
            # Whatever is wrong with one entry (damaged, too large), the others go on.
            self._resting[entry.name] = (entry.version, now_ms + RETRY_MS)
            events.emit(
                "beat.failed",
                entry=entry.name,
                slot=entry.next_ms and iso(entry.next_ms),
                error=str(error) or repr(error),
                delay=RETRY_MS / 1000,
            )
            return now_ms + RETRY_MS

    def _serve(self, entry: Entry, now_ms: int) -> int | None:
        timetable = self._timetable(entry)
        plan = timetable.due(entry.next_ms, now_ms, CATCH_UP_LIMIT)
        for advanced, batch in _advances(entry, timetable.spec, plan, self._namespace, now_ms):
            if self._stopping():
                return self._entries[entry.name].next_ms
            if not self._fire(advanced, batch, now_ms):
                # Another beat was first, or the entry has changed: read it again.
                self._outdated = True
                return None
        self._resting.pop(entry.name, None)
        if plan.missed:
            events.emit(
                "beat.missed",
                entry=entry.name,
                missed=plan.missed,
                since=entry.next_ms and iso(entry.next_ms),
                policy=timetable.spec.catch_up,
            )
        return self._entries[entry.name].next_ms

    def _fire(self, advanced: Entry, batch: Batch, now_ms: int) -> bool:
        if self._app is not None:
            messages = announce(self._app, batch.messages)
            batch = msgspec.structs.replace(batch, messages=messages)
        expected_ms = self._entries[advanced.name].next_ms
        done = self._store.fire(advanced, expected_ms, batch)
        if done is None:
            return False
        self._entries[advanced.name] = advanced
        self._fired += 1
        announced(batch.messages, done.receipts)
        for message, receipt in zip(batch.messages, done.receipts, strict=True):
            _emit_fired(advanced, message, receipt, now_ms)
        return True


def _advances(
    entry: Entry, spec: Spec, plan: DuePlan, namespace: str, now_ms: int
) -> Iterator[tuple[Entry, Batch]]:
    """The states that an entry goes through, and the batch to enqueue on entering each."""
    entry = msgspec.structs.replace(entry, missed=entry.missed + plan.missed)
    if not plan.fire:
        yield msgspec.structs.replace(entry, next_ms=plan.next_slot_ms), Batch()
        return
    template = decode_template(entry.template)
    following = (*plan.fire[1:], plan.next_slot_ms)
    for slot_ms, next_ms in zip(plan.fire, following, strict=True):
        messages = messages_of_slot(
            template, spec, namespace=namespace, entry=entry.name, slot_ms=slot_ms, now_ms=now_ms
        )
        entry = msgspec.structs.replace(
            entry,
            next_ms=next_ms,
            last_ms=slot_ms,
            last_id=slot_id(namespace, entry.name, slot_ms),
            runs=entry.runs + 1,
        )
        yield entry, Batch(messages=messages, durable=template.durable)


def _emit_fired(entry: Entry, message: Message, receipt: Receipt, now_ms: int) -> None:
    slot_ms = entry.last_ms or now_ms
    told = {
        "entry": entry.name,
        "slot": iso(slot_ms),
        "task": message.task,
        "id": message.id,
    }
    if receipt.kind in {ReceiptKind.DUPLICATE, ReceiptKind.CONFLICT}:
        events.emit("beat.suppressed", **told, holder=receipt.holder)
    elif not message.waits:
        events.emit("beat.fired", **told, late=max(0, now_ms - slot_ms) / 1000)
