"""Simulated workers: real supervisors, consumers and executors, stepped by hand."""

from __future__ import annotations

import contextvars
import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from property_tests.simulation.processes import Body, HalvesPool, PageScoreboard, SimulatedCalls
from property_tests.simulation.schedule import SLACK_MS
from property_tests.simulation.witness import PoisonError
from reliable_tasks.attempts.executor import Executor, StartedAttempt
from reliable_tasks.errors import (
    SoftTimeLimitExceeded,
    StaleClaim,
    StepOutcomeUnknown,
    StoreError,
)
from reliable_tasks.store.values import SessionInfo, Verdict
from reliable_tasks.worker.consumer import Consumer
from reliable_tasks.worker.exchanger import _RECONCILE_S
from reliable_tasks.worker.supervisor import Stopping, Supervisor, SupervisorOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from property_tests.simulation.environment import Environment
    from reliable_tasks.app import App
    from reliable_tasks.core.outcome import Outcome
    from reliable_tasks.store.values import Claim
    from reliable_tasks.worker.consumer import Request
    from reliable_tasks.worker.scoreboard import Posted

__all__ = ["SimChild", "SimWorker"]

_DEATHS = ("SIGSEGV", "")  # C's exit(0) is a death like any other
_CALLS = {"stepping", "spawning", "replacing"}  # bodies that ask the store for something
_PATIENCE_S = 8.0


@dataclass
class SimChild:
    """A child process."""

    world: Environment
    session: str
    app: App
    pid: int
    alive: bool = True
    draining: bool = False
    hangs: bool = False
    wedged: bool = False
    hung_ms: int = 0

    def __post_init__(self) -> None:
        max_tasks = self.world.rng.choice((None, None, 5))
        trusted_s = self.world.lease_ms / 2000
        self.consumer = Consumer(
            ("celery",), ahead_s=0.02, max_tasks=max_tasks, trusted_s=trusted_s
        )
        self.board = PageScoreboard(1)
        executor = Executor(self.app, "sim@host", timer=self.world.monotonic)
        self.pool = HalvesPool(executor, self.world.store, self.board, 1)
        self.body: Body | None = None
        self.job: Callable[[], None] | None = None  # what it is asking of the store
        self.exit: str | None = None
        self.reconciled_at = self.world.monotonic()

    @property
    def name(self) -> str:
        return f"child {self.pid}"

    @property
    def gone(self) -> bool:
        """Whether nothing of the user's goes on in it."""
        return not self.alive or self.hangs

    def die(self, how: str) -> None:
        """The process is gone, at whatever it was doing."""
        if self.alive:
            self.world.tell(self.name, f"died: {how or 'clean exit'}")
            late = self.hangs and self.world.monotonic() - self._deadline_s() > SLACK_MS / 1000
            if late and 0 < self.world.calm_ms <= self.hung_ms:
                self.world.violations.append(f"{self.name} was stuck for longer than its limit")
            self.exit = how
            self.end()

    def end(self) -> None:
        """What is not written by now never is."""
        self.alive = self.board.writes = False
        self.world.of_the_dead |= self.board.begun()

    def hang(self) -> None:
        """What it does right now never ends; its other thread lives."""
        if not self.gone:
            self.world.tell(self.name, "is stuck in the user's code")
            self.hangs, self.board.writes, self.hung_ms = True, False, self.world.now_ms
            if not self._deadline_s():
                self.world.violations.append(f"{self.name} is stuck, and no limit ends it")

    def _deadline_s(self) -> float:
        return sum(posted.hard_deadline for posted in self.board.running())

    def step(self) -> None:
        """One thing that one of its two threads does."""
        if self.world.rng.random() < 0.5:
            self.talk()
        else:
            self.work()

    # What the consumer's thread does: see `worker.exchanger` ------------------------------------

    def talk(self) -> None:
        """Ask the store, or hear what it answers: that takes longer where it stalls."""
        self.world.actor = self.name
        if self.draining:
            self.consumer.drain()
        if self.consumer.finished:
            self.die("")
        elif not self.wedged:
            if self.job is None:
                self.job = self._next_job()
            if self.job is not None and not self.world.stalled:
                job, self.job = self.job, None
                try:
                    job()
                except StoreError:
                    self.consumer.failed()
                else:
                    self.board.count_answer()

    def _next_job(self) -> Callable[[], None] | None:
        consumer, now = self.consumer, self.world.monotonic()
        if consumer.uncertain or now - self.reconciled_at >= _RECONCILE_S:
            return self._reconcile
        request = consumer.request(now)
        if request is None:
            consumer.woken()
            return None
        return lambda: self._exchange(request)

    def _reconcile(self) -> None:
        held = self.world.store.held(self.session)
        self.reconciled_at = self.world.monotonic()
        self.consumer.reconcile(held)
        ids = ", ".join(f"{claim.id} with fence {claim.fence}" for claim in held)
        self.world.tell(self.name, f"asks what it holds: {ids or 'nothing'}")

    def _exchange(self, request: Request) -> None:
        reply = self.world.store.exchange(self.session, request.commits, request.want)
        for commit, verdict in zip(request.commits, reply.verdicts, strict=True):
            word = "committed" if verdict == Verdict.COMMITTED else "STALE"
            what = f"{type(commit.outcome).__name__} with fence {commit.fence}"
            self.world.tell(self.name, f"{commit.id} {what}: {word}")
        for claim in reply.claims:
            self.world.tell(self.name, f"claimed {claim.id} with fence {claim.fence}")
        self.consumer.replied(reply)

    # What the main thread does: see `worker.pools.prefork` ----------------------------------------

    def work(self) -> None:
        """Begin a body, or end one whose time has come."""
        self.world.actor = self.name
        if self.gone:
            return
        if self.body is not None:
            asks = self.body.claim.task in _CALLS and self.world.stalled
            if self.world.now_ms >= self.body.until and not asks:
                self._finish(self.body)
            return
        claim = self.consumer.next_claim(self.world.monotonic())
        if claim is None:
            return
        self.world.began[claim.fence] = self.world.now_ms
        with self.world.at_work(self, claim):
            if self.world.rng.random() < 0.3 and not self.world.stalled:
                self._ended(claim, self.pool.whole(claim, self._call))
            else:
                self._begin(claim)

    def _begin(self, claim: Claim) -> None:
        context = contextvars.copy_context()
        started = self.pool.begin(claim, context)
        if not isinstance(started, StartedAttempt):
            self.pool.refused()
            self._ended(claim, started)
            return
        takes = self.world.rng.choice((0, 5, 50, 500, 3000))
        if started.prepared.soft_limit_s or started.prepared.hard_limit_s:
            takes = self.world.rng.choice((50, 3000, 3000))
        self.body = Body(claim, started, context, self.world.now_ms + takes)

    def _call(self, started: StartedAttempt, context: contextvars.Context) -> Any:
        try:
            return context.run(started.run, *started.args, **started.kwargs)
        except PoisonError:
            if not self.gone:
                self.die(self.world.rng.choice(_DEATHS))
            raise
        except BaseException as exc:
            if not isinstance(exc, StoreError | StaleClaim | StepOutcomeUnknown):
                self.world.tell(self.name, f"{started.claim.id} raised {type(exc).__name__}")
            raise

    def _ended(self, claim: Claim, done: Outcome) -> None:
        """What came of an attempt, if its process has lived to see it."""
        if not self.gone:
            self.body = None
            self.consumer.ended(claim, done, self.world.monotonic())

    def interrupt(self) -> None:
        """The soft limit of the body that runs has passed."""
        if self.body is not None and not self.gone:
            self.world.tell(self.name, f"{self.body.claim.id} is told of its soft limit")
            self._finish(self.body, SoftTimeLimitExceeded())

    def terminate(self, fence: int, signal: str) -> None:
        """The message of its body was revoked: the signal ends its process, or raises in it."""
        if self.body is not None and not self.gone and self.body.claim.fence == fence:
            self.board.revoke(fence)
            if self.world.rng.random() < 0.5:
                self.die(signal)
            else:
                self._finish(self.body, SystemExit(143))

    def _finish(self, body: Body, raises: BaseException | None = None) -> None:
        with self.world.at_work(self, body.claim):
            try:
                if raises is not None:
                    raise raises  # noqa: TRY301 - in the place of the body
                value = self._call(body.started, body.context)
            except BaseException as exc:  # noqa: BLE001 - whatever a body raises ends its attempt
                done = self.pool.raised(body, exc)
            else:
                done = self.pool.returned(body, value)
            self._ended(body.claim, done)


class SimWorker:
    """A worker: its supervisor and the children it has forked."""

    def __init__(
        self, world: Environment, name: str, children: int = 2, *, old: bool = False
    ) -> None:
        self.world = world
        self.name = name
        self.old = old
        self.alive = True
        self.frozen_until = 0
        self.processes: dict[int, SimChild] = {}
        self._told: set[int] = set()
        self.lost_ms: dict[str, int] = {}  # session -> when it knew that its process was dead
        self.host = world.rng.choice(("east", "west"))
        self.pid = world.next_pid()
        world.live_pids.add(self.pid)
        info = SessionInfo(id="", worker=name, host=self.host, pid=self.pid, queues=("celery",))
        options = SupervisorOptions(
            info=info,
            children=children,
            lease_ms=world.lease_ms,
            heartbeat_s=world.lease_ms / 4000,
            grace_s=2.0,
            patience_s=_PATIENCE_S,
        )
        self.supervisor = Supervisor(world.store, self, options, SimulatedCalls(world))

    # Its ProcessControl

    def spawn(self, session: str) -> int:
        if self.world.troubled and self.world.rng.random() < 0.05:
            self.world.tell(self.name, "has no room for a child now")
            raise OSError(errno.EAGAIN, "simulated")
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
        self.processes[pid].terminate(fence, signal)
        return True

    def dead(self) -> list[tuple[int, str]]:
        found = [
            (pid, child.exit or "")
            for pid, child in self.processes.items()
            if not child.alive and pid not in self._told
        ]
        self._told |= {pid for pid, _ in found}
        self.lost_ms |= {self.processes[pid].session: self.world.now_ms for pid, _ in found}
        return found

    def running(self, pid: int) -> tuple[Posted, ...]:
        return self.processes[pid].board.running() if pid in self.processes else ()

    def begun(self, pid: int) -> frozenset[int]:
        return self.processes[pid].board.begun() if pid in self.processes else frozenset()

    def answers(self, pid: int) -> int:
        return self.processes[pid].board.answers() if pid in self.processes else 0

    def forget(self, pid: int) -> None:
        self.processes.pop(pid).board.close()

    def gone_sessions(self, sessions: tuple[SessionInfo, ...]) -> list[str]:
        return [s.id for s in sessions if s.host == self.host and s.pid not in self.world.live_pids]

    # What the world does to it

    def die(self) -> None:
        """kill -9 of the whole worker: its children die with it."""
        self.world.tell(self.name, "killed with all its children")
        self._end()
        for child in self.living():
            child.end()

    def stop(self, how: Stopping) -> None:
        """Stop it, as a deploy does."""
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
            self._end()

    def _end(self) -> None:
        self.alive = False
        self.world.live_pids.discard(self.pid)

    def step(self) -> None:
        """Let one of its processes do one thing."""
        living = self.living()
        if not living or self.world.rng.random() < 0.2:
            self.supervise()
        else:
            self.world.rng.choice(living).step()
