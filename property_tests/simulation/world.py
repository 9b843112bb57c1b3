"""One simulated world: a seed, a virtual clock, a store with faults, workers, and a timeline."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from property_tests.simulation.faults import FaultRates, FaultyStore
from property_tests.simulation.tasks import make_app
from property_tests.simulation.workers import SimWorker, describe, verdict_word
from reliable_tasks import ids
from reliable_tasks.beat.scheduler import Scheduler
from reliable_tasks.beat.sync import code_definitions, sync
from reliable_tasks.errors import StoreError
from reliable_tasks.message import Edge, Headers, Message, OnceLock, encode_headers
from reliable_tasks.serialization import dumps_call
from reliable_tasks.store.values import Batch, ReceiptKind, StoreOptions, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.store.values import Commit

__all__ = ["Effect", "World"]

_SCOPES = ("until_executed", "until_executing", "while_executing", "until_and_while_executing")
_POLICIES = ("raise", "return", "replace", "rerun", "reschedule")


class Effect(NamedTuple):
    """A body had its effect on the world."""

    attempt: int
    fence: int
    at_ms: int


class World:
    """Everything that happens follows from `seed`."""

    lease_ms = 2_000

    def __init__(
        self,
        seed: int,
        make_store: Any,
        *,
        messages: int = 12,
        watch: Callable[[World], list[str]] | None = None,
    ) -> None:
        self.seed = seed
        self.watch = watch
        self.rng = random.Random(seed)
        ids._generator = random.Random(seed)  # ids and jitter follow the seed as well
        self.now_ms = 1_000_000
        self.timeline: list[str] = []
        self.options = StoreOptions(audit="all", audit_ttl_ms=10**12)
        self.real = make_store(lambda: self.now_ms, self.options)
        self.store = FaultyStore(self.real, self.rng, self._tell_store, FaultRates())
        self.effects: dict[str, list[Effect]] = defaultdict(list)
        self.charges: dict[str, int] = defaultdict(int)
        self.revoked: dict[str, int] = {}
        self.flagged: dict[str, int] = {}
        self.sent: dict[str, Message] = {}
        self.violations: list[str] = []
        self.app = make_app(self._effect, self._charge)
        self.app.store = self.store
        self.acknowledged: dict[str, Message] = {}
        self.commits: dict[str, list[str]] = defaultdict(list)
        self.to_send = messages
        self.unsent: list[tuple[Message, ...]] = []
        self.workers: list[SimWorker] = []
        self._names = iter(range(10_000))
        for _ in range(2):
            self._start_worker()
        sync(self.app, self.real, code_definitions(self.app, self.now_ms), self.now_ms)
        self.beats = [Scheduler(self.store, name=f"beat {n}") for n in range(2)]

    # The clocks and the tale

    def monotonic(self) -> float:
        return self.now_ms / 1000

    def live_pids(self) -> set[int]:
        return {w.pid for w in self.workers if w.alive}

    def tell(self, who: str, what: str) -> None:
        self.timeline.append(f"{(self.now_ms - 1_000_000) / 1000:9.3f}  {who:<12} {what}")

    def _tell_store(self, what: str) -> None:
        self.tell("store", what)

    def _effect(self, message_id: str, attempt: int, fence: int) -> None:
        self.effects[message_id].append(Effect(attempt, fence, self.now_ms))
        self.tell("body", f"{message_id} runs: attempt {attempt}, fence {fence}")

    def _charge(self, message_id: str) -> None:
        self.charges[message_id] += 1

    def committed(self, who: str, commit: Commit, verdict: Verdict) -> None:
        what = describe(commit.outcome)
        self.tell(who, f"{commit.id} {what} with fence {commit.fence}: {verdict_word(verdict)}")
        if verdict == Verdict.COMMITTED and what in {"Succeeded", "Failed", "Ignored"}:
            self.commits[commit.id].append(what)

    # What happens

    def run(self, steps: int = 400) -> None:
        """Faults for a while, then none until all is at rest."""
        for _ in range(steps):
            self._something()
        self.tell("world", "faults end")
        self.store.rates = FaultRates(0, 0, 0)
        for worker in self.workers:
            worker.frozen_until = 0
        while self.unsent:
            self._send(self.unsent.pop())
        self._drain()

    def _something(self) -> None:
        dice = self.rng.random()
        self.now_ms += self.rng.choice((0, 0, 1, 1, 7, 40, 300))
        if self.watch is not None:
            self.violations += self.watch(self)
        if dice < 0.10 and self.to_send:
            self._produce()
        elif dice < 0.105:
            self._kill()
        elif dice < 0.110:
            self._freeze()
        elif dice < 0.115:
            self._revoke()
        elif dice < 0.135:
            self._beat()
        elif dice < 0.138:
            self.now_ms += self.lease_ms + 1  # a long pause of everything
        else:
            self._work()

    def _work(self) -> None:
        able = [w for w in self.workers if w.alive and w.frozen_until <= self.now_ms]
        if able:
            self.rng.choice(able).step()

    def _kill(self) -> None:
        living = [w for w in self.workers if w.alive]
        if not living:
            return
        worker = self.rng.choice(living)
        children = [c for c in worker.processes.values() if c.alive]
        if children and self.rng.random() < 0.7:
            self.rng.choice(children).die("SIGKILL by the world")
        else:
            worker.die()
            self._start_worker()

    def _freeze(self) -> None:
        worker = self.rng.choice(self.workers)
        worker.frozen_until = self.now_ms + self.rng.choice((500, 2_500, 9_000))
        self.tell(worker.name, f"frozen until {(worker.frozen_until - 1_000_000) / 1000:.3f}")

    def _beat(self) -> None:
        """One of the beats looks at the schedule; sometimes it is another one, newly started."""
        chosen = self.rng.randrange(len(self.beats))
        if self.rng.random() < 0.1:
            self.beats[chosen] = Scheduler(self.store, name=f"beat {next(self._names)}")
        try:
            self.beats[chosen].step(self.now_ms)
        except StoreError:
            return
        self.tell(self.beats[chosen].name, "looked at the schedule")

    def _start_worker(self) -> None:
        self.workers.append(SimWorker(self, f"worker {next(self._names)}"))

    def _revoke(self) -> None:
        if self.acknowledged:
            chosen = self.rng.choice(sorted(self.acknowledged))
            terminate = self.rng.random() < 0.5
            found = self.real.revoke([chosen], terminate=terminate)[0].found
            if found == "revoked":
                self.revoked[chosen] = self.now_ms
            elif found == "running":
                self.flagged.setdefault(chosen, self.now_ms)
            self.tell("user", f"revokes {chosen}: {found}")

    def _produce(self) -> None:
        """A producer sends something new, or again what it was not told of."""
        if self.unsent and self.rng.random() < 0.5:
            self._send(self.unsent.pop())
            return
        self.to_send -= 1
        messages = self.rng.choice((self._single, self._once, self._chord, self._chain))()
        self.sent.update((m.id, m) for m in messages)
        self._send(messages)

    def _send(self, messages: tuple[Message, ...]) -> None:
        try:
            receipts = self.store.enqueue(Batch(messages=messages)).receipts
        except StoreError:
            self.unsent.append(messages)
            return
        for message, receipt in zip(messages, receipts, strict=True):
            self.tell("producer", f"{message.id} ({message.task}): {receipt.kind}")
            kept = receipt.kind in {ReceiptKind.CREATED, ReceiptKind.JOINED}
            if kept or (receipt.kind == ReceiptKind.RERUN and receipt.holder is None):
                self.acknowledged[message.id] = message

    def _message(self, task: str, *args: Any, takes: str = "", **fields: Any) -> Message:
        return Message(
            id=f"m{next(self._names)}",
            task=task,
            payload=dumps_call(args, {}, "json"),
            headers=encode_headers(Headers(takes=takes)),
            priority=self.rng.choice((0, 0, 5)),
            max_deliveries=3,
            result_ttl_ms=0,
            failure_ttl_ms=0,
            **fields,
        )

    def _single(self) -> tuple[Message, ...]:
        name = self.rng.choice(
            ("plain", "plain", "flaky", "failing", "poison", "ignoring", "rejecting", "stepping")
        )
        args = (7, self.rng.randrange(4)) if name == "flaky" else (7,)
        timing: dict[str, Any] = self.rng.choice(
            ({}, {}, {"delay_ms": 700}, {"expires_in_ms": 900})
        )
        return (self._message(name, *args, **timing),)

    def _once(self) -> tuple[Message, ...]:
        key = self.rng.randrange(2)
        lock = OnceLock(
            key=f"k{key}",
            scope=self.rng.choice(_SCOPES),
            on_conflict=self.rng.choice(_POLICIES),
        )
        known = self.rng.random() < 0.8
        return (self._message("once_plain", key, 7, once=lock if known else None),)

    def _chord(self) -> tuple[Message, ...]:
        body = self._message("total", takes="list", waits=3)
        header = tuple(
            self._message("flaky", 7, self.rng.randrange(2), edges=(Edge(body.id, slot=i),))
            for i in range(3)
        )
        return (*header, body)

    def _chain(self) -> tuple[Message, ...]:
        last = self._message("plain", takes="one", waits=1)
        first_task = self.rng.choice(("plain", "plain", "failing"))
        return (self._message(first_task, 7, edges=(Edge(last.id, slot=0),)), last)

    # Afterwards

    def _drain(self, rounds: int = 4_000) -> None:
        for _ in range(rounds):
            if self._at_rest():
                return
            self.now_ms += 20
            for worker in [w for w in self.workers if w.alive]:
                worker.supervisor.step(self.monotonic())
                for child in [c for c in worker.processes.values() if c.alive]:
                    child.step()
        self.tell("world", "it never came to rest")

    def _at_rest(self) -> bool:
        return not any(self.real.counts().queues.values())
