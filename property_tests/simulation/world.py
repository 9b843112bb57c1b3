"""One simulated world: a schedule, a virtual clock, a store with faults, workers, a timeline."""

from __future__ import annotations

import contextlib
import functools
from collections import defaultdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from property_tests.simulation import hostile
from property_tests.simulation.account import Account, account_of
from property_tests.simulation.environment import Environment
from property_tests.simulation.faults import NO_FAULTS
from property_tests.simulation.producers import Producers
from property_tests.simulation.schedule import SLACK_MS, seconds
from property_tests.simulation.workers import SimWorker
from reliable_tasks import events
from reliable_tasks.beat.scheduler import Scheduler
from reliable_tasks.beat.sync import code_definitions, sync
from reliable_tasks.errors import StoreError
from reliable_tasks.store.values import MessageQuery
from reliable_tasks.worker.pools import base
from reliable_tasks.worker.supervisor import Stopping

if TYPE_CHECKING:
    from collections.abc import Callable

    from property_tests.simulation.schedule import Schedule
    from reliable_tasks.store.values import StoreOptions

__all__ = ["World"]

LONGEST_DRAIN_MS = 180_000
_PACES_MS = (20, 900)


class World(Environment):
    """Everything that happens follows from the schedule.

    Args:
        schedule: see there.
        make_store: gets a clock and options, gives the store.
        messages: how many times producers have something new to send.
        watch: says what is not as promised at this instant.
        watch_every: calls of the store until `watch` is called again.
        restart: lets the store's clients see what they see of a server that was restarted.
    """

    def __init__(
        self,
        schedule: Schedule,
        make_store: Callable[[Callable[[], int], StoreOptions], Any],
        *,
        messages: int = 12,
        watch: Callable[[World], list[str]] | None = None,
        watch_every: int = 1,
        restart: Callable[[Any], None] | None = None,
    ) -> None:
        super().__init__(schedule.seed, make_store)
        self.schedule = schedule
        self.account = Account()  # what was to be read of the store in the end
        self._watch, self._watch_every, self._watched = watch, watch_every, -1
        self._restart_store = restart
        self._away_until_ms = 0
        self.revoked: dict[str, int] = {}
        self.flagged: dict[str, int] = {}
        self.replays: dict[str, int] = defaultdict(int)
        self.innocents: list[str] = []
        tell = functools.partial(self.tell, "producer")
        self.producers = Producers(self.store, self.rng, tell, messages)
        self.workers: list[SimWorker] = []
        self._names = iter(range(10_000))
        self._start_worker(old=False)
        self._start_worker(old=self.rng.random() < 0.5)
        app = self.app(old=False)
        sync(app, self.real, code_definitions(app, self.now_ms), self.now_ms)
        self.beats = [Scheduler(self.store, name=f"beat {n}") for n in range(2)]

    # What happens ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Faults for a while, then none until all is at rest."""
        clock = SimpleNamespace(monotonic=self.monotonic)
        with (
            mock.patch.object(base, "clock", clock),
            mock.patch.object(events, "report"),  # of receivers that raise: very many
            hostile.receiving(self),
        ):
            self._run()
        self.account = account_of(self.real)

    def _run(self) -> None:
        for step in self.schedule.steps:
            self.rng.seed(step.dice)
            self.now_ms += step.pause_ms
            self.store.away = self.now_ms < self._away_until_ms
            getattr(self, f"_{step.what}")()
            self._look()
        self.rng.seed(self.schedule.seed)
        self.tell("world", "faults end")
        self.troubled = self.store.away = False
        self.stalled_until_ms = 0
        self.calm_ms = self.now_ms
        self.store.rates = NO_FAULTS
        for worker in self.workers:
            worker.frozen_until = 0
        self.producers.finish()
        if not any(
            w.alive and not w.old and w.supervisor.stopping is Stopping.NO for w in self.workers
        ):
            self._start_worker(old=False)  # a deploy ends with somebody who knows every task
        stall_at_ms = self.calm_ms + self.lease_ms + SLACK_MS
        self._drain(until_ms=stall_at_ms)
        self._visit_of_innocents()
        self._drain()

    def _visit_of_innocents(self) -> None:
        """Send innocent messages; soon afterwards the store stalls for longer than a lease."""
        self.actor = "producer"
        self.innocents = self.producers.send_innocents()
        self._drain(until_ms=self.now_ms + 300)
        self._stall()

    def _look(self) -> None:
        if self._watch is not None and self.store.calls >= self._watched + self._watch_every:
            self._watched = self.store.calls
            self.violations += self._watch(self)

    def _work(self) -> None:
        able = [w for w in self.workers if w.alive and w.frozen_until <= self.now_ms]
        if able:
            self.rng.choice(able).step()

    def _produce(self) -> None:
        self.actor = "producer"
        if not self.producers.step():
            self._work()

    def _arrive(self) -> None:
        self.actor = "network"
        self.store.arrive()

    def _pause(self) -> None:
        """Everything stands still for longer than a lease."""
        self.now_ms += self.lease_ms + 1

    def _restart(self) -> None:
        """The server goes, with what it had not read yet, and comes back after a while."""
        self._away_until_ms = self.now_ms + self.rng.choice((200, 1_500))
        self.store.away = True
        self.tell("store", f"restarts, and is away until {seconds(self._away_until_ms)}")
        self.store.lose_late()
        if self._restart_store is not None:
            self._restart_store(self.real)

    def _stall(self) -> None:
        """Somebody holds the store's lock, or its server is busy: longer than a lease, perhaps."""
        self.stalled_until_ms = self.now_ms + self.rng.choice((300, 2_500, 5_000))
        self.tell("store", f"answers nobody until {seconds(self.stalled_until_ms)}")

    def _wedge(self) -> None:
        """A child hears from the store no more, and does not know it."""
        children = [c for w in self.workers for c in w.living() if c.board.answers()]
        if children:
            child = self.rng.choice(children)
            child.wedged = True
            self.tell(child.name, "hears nothing from the store any more")

    def _kill(self) -> None:
        living = [w for w in self.workers if w.alive]
        if not living:
            return
        worker = self.rng.choice(living)
        children = worker.living()
        if children and self.rng.random() < 0.7:
            self.rng.choice(children).die(self.rng.choice(("SIGKILL by the world", "")))
        else:
            worker.die()
            self._start_worker(old=worker.old)

    def _freeze(self) -> None:
        worker = self.rng.choice(self.workers)
        worker.frozen_until = self.now_ms + self.rng.choice((500, 2_500, 9_000))
        self.tell(worker.name, f"frozen until {seconds(worker.frozen_until)}")

    def _deploy(self) -> None:
        """A worker goes down, warm or cold, while one of the new version starts."""
        running = [w for w in self.workers if w.alive and w.supervisor.stopping is Stopping.NO]
        if running:
            self.rng.choice(running).stop(self.rng.choice((Stopping.WARM, Stopping.COLD)))
        self._start_worker(old=False)

    def _start_worker(self, *, old: bool) -> None:
        self.workers.append(SimWorker(self, f"worker {next(self._names)}", old=old))

    def _beat(self) -> None:
        """One of the beats looks at the schedule; sometimes it is another one, newly started."""
        chosen = self.rng.randrange(len(self.beats))
        if self.rng.random() < 0.1:
            self.beats[chosen] = Scheduler(self.store, name=f"beat {next(self._names)}")
        self.actor = self.beats[chosen].name
        with contextlib.suppress(StoreError):  # it looks again later
            self.beats[chosen].step(self.now_ms)

    def _revoke(self) -> None:
        known = self.producers.acknowledged
        if known:
            chosen = self.rng.choice(sorted(known))
            terminate = self.rng.random() < 0.5
            found = self.real.revoke([chosen], terminate=terminate)[0].found
            if found == "revoked":
                self.revoked[chosen] = self.now_ms
            elif found == "running":
                self.flagged.setdefault(chosen, self.now_ms)
            self.store.calls += 1
            self.tell("user", f"revokes {chosen}: {found}")

    def _operate(self) -> None:
        """An operator replays a dead letter."""
        dead = sorted(r.id for r in self.real.find(MessageQuery(dead=True)))
        if dead:
            chosen = self.rng.choice(dead)
            done = self.real.replay([chosen])[0].done
            if done == "replayed":
                self.replays[chosen] += 1
                self.flagged.pop(chosen, None)
            self.store.calls += 1
            self.tell("user", f"replays {chosen}: {done}")

    # Afterwards -----------------------------------------------------------------------------------

    def _drain(self, until_ms: int | None = None) -> None:
        """Let everybody work, until nothing is left to do, or until a certain time."""
        last_ms = until_ms or self.now_ms + LONGEST_DRAIN_MS
        pace_ms, shortest_ms = _PACES_MS[0], _PACES_MS[0]
        while self.now_ms < last_ms:
            told = len(self.timeline)
            self.now_ms += pace_ms
            self._arrive()
            for worker in [w for w in self.workers if w.alive]:
                worker.supervise()
                for child in worker.living():
                    child.talk()
                    child.work()
            self._look()
            if len(self.timeline) > told:
                pace_ms = shortest_ms
            elif until_ms is None and self._at_rest():
                return
            else:
                pace_ms = min(pace_ms * 2, _PACES_MS[1])
        if until_ms is None:
            self.violations.append(f"it did not come to rest within {LONGEST_DRAIN_MS // 1000} s")

    def _at_rest(self) -> bool:
        stopping = any(w.alive and w.supervisor.stopping is not Stopping.NO for w in self.workers)
        lapsed = any(s.lease_until_ms <= self.now_ms for s in self.real.sessions())
        busy = any(self.real.counts().queues.values())
        return not (self.stalled or stopping or lapsed or self.store.late or busy)
