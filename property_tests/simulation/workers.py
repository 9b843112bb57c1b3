"""Simulated workers: real supervisors, consumers and executors, stepped by hand."""

from __future__ import annotations

import contextvars
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from property_tests.simulation.tasks import PoisonError
from reliable_tasks.errors import StaleClaim, StepOutcomeUnknown, StoreError
from reliable_tasks.store.values import SessionInfo, Verdict
from reliable_tasks.worker.board import Posted
from reliable_tasks.worker.consumer import Consumer
from reliable_tasks.worker.executor import Executor, Started
from reliable_tasks.worker.pools.base import StorePort
from reliable_tasks.worker.supervisor import Supervisor, SupervisorOptions

if TYPE_CHECKING:
    from property_tests.simulation.world import World
    from reliable_tasks.store.values import Claim

__all__ = ["SimChild", "SimWorker"]

_pids = itertools.count(1000)


@dataclass
class _Body:
    """A body that is running: its end comes at a later step."""

    claim: Claim
    started: Started
    context: contextvars.Context
    until: int
    posted: Posted


@dataclass
class SimChild:
    """A child process."""

    world: World
    session: str
    queues: tuple[str, ...]
    pid: int = field(default_factory=lambda: next(_pids))
    alive: bool = True
    draining: bool = False

    def __post_init__(self) -> None:
        trusted_s = self.world.lease_ms / 2000
        self.consumer = Consumer(self.queues, ahead_s=0.02, trusted_s=trusted_s)
        self.executor = Executor(self.world.app, "sim@host", timer=self.world.monotonic)
        self.body: _Body | None = None
        self.exit: str | None = None

    @property
    def name(self) -> str:
        return f"child {self.pid}"

    def running(self) -> tuple[Posted, ...]:
        return (self.body.posted,) if self.body else ()

    def die(self, how: str) -> None:
        """The process is gone, at whatever it was doing."""
        self.world.tell(self.name, f"died: {how or 'clean exit'}")
        self.alive = False
        self.exit = how

    def step(self) -> None:
        """One thing that one of its two threads does."""
        if self.draining:
            self.consumer.drain()
        if self.consumer.finished:
            self.die("")
        elif self.world.rng.random() < 0.5:
            self._talk()
        else:
            self._work()

    def _talk(self) -> None:
        """What the consumer's thread does: see `worker.feed`."""
        store, consumer = self.world.store, self.consumer
        try:
            if consumer.uncertain:
                consumer.reconcile(store.held(self.session))
                return
            request = consumer.request(self.world.monotonic())
            if request is None:
                consumer.woken()
                return
            reply = store.exchange(self.session, request.commits, request.want)
        except StoreError:
            consumer.failed()
            return
        for commit, verdict in zip(request.commits, reply.verdicts, strict=True):
            self.world.committed(self.name, commit, verdict)
        for claim in reply.claims:
            self.world.tell(self.name, f"claimed {claim.id} with fence {claim.fence}")
        consumer.replied(reply)

    def _work(self) -> None:
        """What the main thread does: see `worker.pools.prefork`."""
        if self.body is not None:
            if self.world.now_ms >= self.body.until:
                self._finish(self.body)
            return
        claim = self.consumer.next_claim(self.world.monotonic())
        if claim is None:
            return
        context = contextvars.copy_context()
        posted = Posted(claim.id, claim.fence, self.world.monotonic(), 0.0, 0.0)
        port = StorePort(self.world.store, claim)
        started = context.run(self.executor.begin, claim, port)
        if not isinstance(started, Started):
            self.consumer.ended(claim, started, self.world.monotonic())
            return
        takes = self.world.rng.choice((0, 0, 5, 50, 500, 3000))
        self.body = _Body(claim, started, context, self.world.now_ms + takes, posted)

    def _finish(self, body: _Body) -> None:
        started = body.started
        try:
            value = body.context.run(started.run, *started.args, **started.kwargs)
        except PoisonError:
            self.die("SIGSEGV")
            return
        except BaseException as exc:  # noqa: BLE001 - whatever a body raises ends its attempt
            outcome = body.context.run(self.executor.raised, started, exc)
            if not isinstance(exc, StoreError | StaleClaim | StepOutcomeUnknown):
                self.world.tell(self.name, f"{body.claim.id} raised {type(exc).__name__}")
        else:
            outcome = body.context.run(self.executor.returned, started, value)
        self.body = None
        self.consumer.ended(body.claim, outcome, self.world.monotonic())


class SimWorker:
    """A worker: its supervisor and the children it has forked."""

    def __init__(self, world: World, name: str, children: int = 2) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.frozen_until = 0
        self.processes: dict[int, SimChild] = {}
        self._told: set[int] = set()
        self.host = world.rng.choice(("east", "west"))
        self.pid = next(_pids)
        info = SessionInfo(id="", worker=name, host=self.host, pid=self.pid, queues=("celery",))
        options = SupervisorOptions(
            info=info, children=children, lease_ms=world.lease_ms, heartbeat_s=world.lease_ms / 4000
        )
        self.supervisor = Supervisor(world.store, self, options)

    # The supervisor's hands

    def spawn(self, session: str) -> int:
        child = SimChild(self.world, session, ("celery",))
        self.processes[child.pid] = child
        self.world.tell(self.name, f"started child {child.pid} with session {session[:8]}")
        return child.pid

    def drain(self, pid: int) -> None:
        self.processes[pid].draining = True

    def soft_limit(self, pid: int) -> None:
        raise NotImplementedError(pid)

    def kill(self, pid: int) -> None:
        if self.processes[pid].alive:
            self.processes[pid].die("SIGKILL")

    def dead(self) -> list[tuple[int, str]]:
        found = [
            (pid, child.exit or "")
            for pid, child in self.processes.items()
            if not child.alive and pid not in self._told
        ]
        self._told |= {pid for pid, _ in found}
        return found

    def running(self, pid: int) -> tuple[Posted, ...]:
        return self.processes[pid].running() if pid in self.processes else ()

    def forget(self, pid: int) -> None:
        del self.processes[pid]

    def gone_sessions(self, sessions: tuple[SessionInfo, ...]) -> list[str]:
        return [
            s.id for s in sessions if s.host == self.host and s.pid not in self.world.live_pids()
        ]

    # What the world does to it

    def die(self) -> None:
        """kill -9 of the whole worker: its children die with it."""
        self.world.tell(self.name, "killed with all its children")
        self.alive = False
        for child in self.processes.values():
            child.alive = False

    def step(self) -> None:
        """Let one of its processes do one thing."""
        living = [c for c in self.processes.values() if c.alive]
        if not living or self.world.rng.random() < 0.2:
            self.supervisor.step(self.world.monotonic())
        else:
            self.world.rng.choice(living).step()


def verdict_word(verdict: Verdict) -> str:
    """How the timeline shows a verdict."""
    return "committed" if verdict == Verdict.COMMITTED else "STALE"


def describe(outcome: Any) -> str:
    """How the timeline shows an outcome."""
    return type(outcome).__name__
