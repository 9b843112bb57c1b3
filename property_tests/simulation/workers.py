"""Simulated workers: real supervisors, consumers and executors, stepped by hand."""

from __future__ import annotations

import contextvars
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from property_tests.simulation.tasks import PoisonError
from reliable_tasks.errors import (
    SoftTimeLimitExceeded,
    StaleClaim,
    StepOutcomeUnknown,
    StoreError,
)
from reliable_tasks.store.values import SessionInfo, Verdict
from reliable_tasks.worker.board import Posted
from reliable_tasks.worker.consumer import Consumer
from reliable_tasks.worker.executor import Executor, Started
from reliable_tasks.worker.feed import _RECONCILE_S
from reliable_tasks.worker.pools.base import StorePort
from reliable_tasks.worker.supervisor import Stopping, Supervisor, SupervisorOptions

if TYPE_CHECKING:
    from property_tests.simulation.world import World
    from reliable_tasks.app import App
    from reliable_tasks.store.values import Claim

__all__ = ["SimChild", "SimWorker"]

_DEATHS = ("SIGSEGV", "")  # C's exit(0) is a death like any other


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
    app: App
    pid: int
    alive: bool = True
    draining: bool = False

    def __post_init__(self) -> None:
        max_tasks = self.world.rng.choice((None, None, 5))
        trusted_s = self.world.lease_ms / 2000
        self.consumer = Consumer(
            ("celery",), ahead_s=0.02, max_tasks=max_tasks, trusted_s=trusted_s
        )
        self.executor = Executor(self.app, "sim@host", timer=self.world.monotonic)
        self.body: _Body | None = None
        self.exit: str | None = None
        self.begun: set[int] = set()
        self.words = 0
        self.reconciled_at = self.world.monotonic()

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
        if self.world.rng.random() < 0.5:
            self.talk()
        else:
            self.work()

    def talk(self) -> None:
        """What the consumer's thread does: see `worker.feed`."""
        store, consumer = self.world.store, self.consumer
        self.world.actor = self.name
        if self.draining:
            consumer.drain()
        if consumer.finished:
            self.die("")
            return
        try:
            now = self.world.monotonic()
            if consumer.uncertain or now - self.reconciled_at >= _RECONCILE_S:
                held = store.held(self.session)
                self.reconciled_at = now
                self.words += 1
                consumer.reconcile(held)
                ids = ", ".join(f"{claim.id} with fence {claim.fence}" for claim in held)
                self.world.tell(self.name, f"asks what it holds: {ids or 'nothing'}")
                return
            request = consumer.request(self.world.monotonic())
            if request is None:
                consumer.woken()
                return
            reply = store.exchange(self.session, request.commits, request.want)
            self.words += 1
        except StoreError:
            consumer.failed()
            return
        for commit, verdict in zip(request.commits, reply.verdicts, strict=True):
            self.world.committed(self.name, commit, verdict)
        for claim in reply.claims:
            self.world.tell(self.name, f"claimed {claim.id} with fence {claim.fence}")
        consumer.replied(reply)

    def work(self) -> None:
        """What the main thread does: see `worker.pools.prefork`."""
        self.world.actor = self.name
        if self.body is not None:
            if self.world.now_ms >= self.body.until:
                self._finish(self.body)
            return
        claim = self.consumer.next_claim(self.world.monotonic())
        if claim is None:
            return
        self.begun.add(claim.fence)
        context = contextvars.copy_context()
        port = StorePort(self.world.store, claim)
        started = context.run(self.executor.begin, claim, port)
        if not isinstance(started, Started):
            self.consumer.ended(claim, started, self.world.monotonic())
            return
        takes = self.world.rng.choice((0, 0, 5, 50, 500, 3000))
        if started.soft_limit_s or started.hard_limit_s:
            takes = self.world.rng.choice((50, 3000, 3000))
        now = self.world.monotonic()
        soft, hard = (
            now + limit if limit else 0.0 for limit in (started.soft_limit_s, started.hard_limit_s)
        )
        self.world.began[claim.fence] = self.world.now_ms
        posted = Posted(claim.id, claim.fence, now, soft, hard)
        self.body = _Body(claim, started, context, self.world.now_ms + takes, posted)

    def interrupt(self) -> None:
        """The soft limit of the body that runs has passed."""
        if self.body is not None:
            self.world.tell(self.name, f"{self.body.claim.id} is told of its soft limit")
            self._finish(self.body, SoftTimeLimitExceeded())

    def _finish(self, body: _Body, raises: BaseException | None = None) -> None:
        started = body.started
        try:
            if raises is not None:
                raise raises  # noqa: TRY301 - in the place of the body
            value = body.context.run(started.run, *started.args, **started.kwargs)
        except PoisonError:
            self.die(self.world.rng.choice(_DEATHS))
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

    def __init__(self, world: World, name: str, children: int = 2, *, old: bool = False) -> None:
        self.world = world
        self.name = name
        self.old = old
        self.alive = True
        self.frozen_until = 0
        self.processes: dict[int, SimChild] = {}
        self._told: set[int] = set()
        self.host = world.rng.choice(("east", "west"))
        self.pid = world.next_pid()
        info = SessionInfo(id="", worker=name, host=self.host, pid=self.pid, queues=("celery",))
        options = SupervisorOptions(
            info=info,
            children=children,
            lease_ms=world.lease_ms,
            heartbeat_s=world.lease_ms / 4000,
            grace_s=2.0,
        )
        self.supervisor = Supervisor(world.store, self, options)

    # The supervisor's hands

    def spawn(self, session: str) -> int:
        child = SimChild(self.world, session, self.world.app(old=self.old), self.world.next_pid())
        self.processes[child.pid] = child
        self.world.tell(self.name, f"started child {child.pid} with session {session[:8]}")
        return child.pid

    def drain(self, pid: int) -> None:
        self.processes[pid].draining = True

    def soft_limit(self, pid: int) -> None:
        self.processes[pid].interrupt()

    def kill(self, pid: int) -> None:
        if self.processes[pid].alive:
            self.processes[pid].die("SIGKILL")

    def terminate(self, pid: int, fence: int, signal: str) -> bool:
        child = self.processes[pid]
        if child.alive and child.body is not None and child.body.claim.fence == fence:
            child.die(signal)
        return True

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

    def begun(self, pid: int) -> frozenset[int]:
        return frozenset(self.processes[pid].begun) if pid in self.processes else frozenset()

    def words(self, pid: int) -> int:
        return self.processes[pid].words if pid in self.processes else 0

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

    def stop(self, how: Stopping) -> None:
        """A deploy: it is told to go down."""
        self.world.tell(self.name, f"told to stop: {how.name}")
        self.supervisor.stop(how, self.world.monotonic())

    def living(self) -> list[SimChild]:
        """The children that live."""
        return [child for child in self.processes.values() if child.alive]

    def supervise(self) -> None:
        """Let the supervisor do what is due."""
        self.world.actor = self.name
        self.supervisor.step(self.world.monotonic())
        if self.supervisor.finished:
            self.world.tell(self.name, "stopped")
            self.alive = False

    def step(self) -> None:
        """Let one of its processes do one thing."""
        living = self.living()
        if not living or self.world.rng.random() < 0.2:
            self.supervise()
        else:
            self.world.rng.choice(living).step()


def verdict_word(verdict: Verdict) -> str:
    """How the timeline shows a verdict."""
    return "committed" if verdict == Verdict.COMMITTED else "STALE"


def describe(outcome: Any) -> str:
    """How the timeline shows an outcome."""
    return type(outcome).__name__
