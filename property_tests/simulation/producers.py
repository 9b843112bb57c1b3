"""Who sends messages to a simulated world, and what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from property_tests.simulation import hostile
from reliable_tasks.core.codec import dumps_call
from reliable_tasks.core.message import Edge, Headers, Message, OnceLock, encode_headers
from reliable_tasks.errors import StoreError
from reliable_tasks.store.values import Batch, ReceiptKind

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from property_tests.simulation.faults import FaultyStore

__all__ = ["Producers"]

_SCOPES = ("until_executed", "until_executing", "while_executing", "until_and_while_executing")
_POLICIES = ("raise", "return", "replace", "rerun", "reschedule")
_SINGLES = (
    *("plain", "plain", "flaky", "failing", "poison", "ignoring", "rejecting", "requeuing"),
    *("stepping", "stepping", "stepping", "spawning", "spawning", "spawning", "replacing"),
    *("limited", "limited", "softly", "novel", "damaged"),
    *("hostile", "hostile", "hostile", "hostile", "hostile_limited", "hostile_limited"),
)
_DAMAGES: tuple[dict[str, Any], ...] = (
    {"task": "plain", "payload": b"\xc1"},
    {"task": "plain", "headers": b"\xc1"},
)
_TIMINGS: tuple[dict[str, Any], ...] = ({}, {}, {"delay_ms": 700}, {"expires_in_ms": 900})


class Producers:
    """Send something new, or repeat a call whose reply was lost.

    Attributes:
        sent: every message that was tried to send.
        acknowledged: those of which the store has said that it has them.
        abandoned: ids of workflows that were never sent whole.
        damaged: ids of those that nobody can decode.
    """

    def __init__(
        self, store: FaultyStore, rng: random.Random, tell: Callable[[str], None], messages: int
    ) -> None:
        self._store = store
        self._rng = rng
        self._tell = tell
        self._left = messages
        self._unsent: list[list[Batch]] = []
        self._tried: set[str | None] = set()
        self._names = iter(range(10_000))
        self.sent: dict[str, Message] = {}
        self.acknowledged: dict[str, Message] = {}
        self.abandoned: set[str] = set()
        self.damaged: set[str] = set()

    def step(self) -> bool:
        """Send something; False when there is nothing left to send."""
        if self._unsent and self._rng.random() < 0.5:
            self._send(self._unsent.pop())
        elif self._left:
            self._left -= 1
            often = (self._single, self._once, self._chord, self._chain)
            batches = self._rng.choice((*often, self._single, self._once, self._in_stages))()
            self.sent.update((m.id, m) for batch in batches for m in batch.messages)
            self._send(batches)
        return bool(self._left or self._unsent)

    def finish(self) -> None:
        """Say again what may not have been heard, now that nothing fails."""
        while self._unsent:
            self._send(self._unsent.pop())

    def send_innocents(self) -> list[str]:
        """Send what has to succeed, whatever others do; returns the ids."""
        innocents = [self._message(name, 7) for name in ("plain", "limited", "plain")]
        self.sent.update((message.id, message) for message in innocents)
        self._send([Batch(messages=(message,)) for message in innocents])
        return [m.id for m in innocents if m.task == "plain"]

    def _send(self, batches: list[Batch]) -> None:
        while batches:
            batch = batches[0]
            new = batch.stage not in self._tried
            if batch.stage and batch.seal and new and self._rng.random() < 0.2:
                self._tell("died before its workflow was whole")
                self.abandoned |= {i for i, m in self.sent.items() if m.root_id == batch.stage}
                return
            if batch.seal:
                self._tried.add(batch.stage)
            try:
                done = self._store.enqueue(batch)
            except StoreError:
                self._unsent.append(batches)
                return
            for message, receipt in zip(batch.messages, done.receipts, strict=True):
                self._tell(f"{message.id} ({message.task}): {receipt.kind}")
                kept = receipt.kind in {ReceiptKind.CREATED, ReceiptKind.JOINED}
                kept = kept or (receipt.kind == ReceiptKind.RERUN and receipt.holder is None)
                if kept and (not batch.stage or batch.seal):
                    self._acknowledge(message, batch)
            batches.pop(0)

    def _acknowledge(self, message: Message, batch: Batch) -> None:
        self.acknowledged[message.id] = message
        if batch.stage:
            workflow = (m for m in self.sent.values() if m.root_id == batch.stage)
            self.acknowledged.update((m.id, m) for m in workflow)

    # What is sent ---------------------------------------------------------------------------------

    def _message(self, task: str, *args: Any, takes: str = "", **fields: Any) -> Message:
        return Message(
            id=f"m{next(self._names)}",
            task=task,
            payload=dumps_call(args, {}, "json"),
            headers=encode_headers(Headers(takes=takes)),
            priority=self._rng.choice((0, 0, 5)),
            max_deliveries=3,
            result_ttl_ms=0,
            failure_ttl_ms=0,
            **fields,
        )

    def _single(self) -> list[Batch]:
        name = self._rng.choice(_SINGLES)
        args: tuple[Any, ...] = (7, self._rng.randrange(4)) if name == "flaky" else (7,)
        if name.startswith("hostile"):
            args = hostile.draw(self._rng, limited=name == "hostile_limited")
        message = self._message(name, *args, **self._rng.choice(_TIMINGS))
        if name == "damaged":
            message = replace(message, **self._rng.choice(_DAMAGES))
            self.damaged.add(message.id)
        return [Batch(messages=(message,))]

    def _once(self) -> list[Batch]:
        key = self._rng.randrange(2)
        lock = OnceLock(
            key=f"k{key}",
            scope=self._rng.choice(_SCOPES),
            on_conflict=self._rng.choice(_POLICIES),
        )
        if self._rng.random() < 0.2:
            args = hostile.draw(self._rng, limited=True)
            return [Batch(messages=(self._message("hostile_limited", *args, once=lock),))]
        known = self._rng.random() < 0.8
        message = self._message("once_plain", key, 7, once=lock if known else None)
        return [Batch(messages=(message,))]

    def _chord(self) -> list[Batch]:
        body = self._message("total", takes="list", waits=3)
        header = tuple(
            self._message("flaky", 7, self._rng.randrange(2), edges=(Edge(body.id, slot=i),))
            for i in range(3)
        )
        return [Batch(messages=(*header, body))]

    def _chain(self) -> list[Batch]:
        once = self._rng.choice((None, OnceLock(key="last")))
        last = self._message("plain", takes="one", waits=1, once=once, joins_duplicate=True)
        first = self._rng.choice(("plain", "plain", "failing", "replacing"))
        return [
            Batch(messages=(self._message(first, 7, edges=(Edge(last.id, slot=0),)), last)),
        ]

    def _in_stages(self) -> list[Batch]:
        """A chord of six, more than go into a batch."""
        stage = f"stage{next(self._names)}"
        body = self._message("total", takes="list", waits=5, root_id=stage)
        header = [
            self._message("plain", 7, edges=(Edge(body.id, slot=i),), root_id=stage)
            for i in range(5)
        ]
        first, second = (body, *header[:3]), tuple(header[3:])
        return [
            Batch(messages=first, stage=stage),
            Batch(messages=second, stage=stage, seal=True),
        ]
