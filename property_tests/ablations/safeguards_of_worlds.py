"""The safeguards that simulated worlds show: in the model, and in the worker's deciding code."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OF_WORLDS", "SIMULATED", "Ablation"]

SIMULATED = "simulation"
_CORE = "property_tests.model.core:Core"
_TRANSITIONS = "property_tests.model.transitions:Transitions"
_MODEL = "property_tests.model.model:Model"
_CONSUMER = "reliable_tasks.worker.consumer:Consumer"
_EXECUTOR = "reliable_tasks.attempts.executor:Executor"
_SUPERVISOR = "reliable_tasks.worker.supervisor:Supervisor"
_WATCH = "reliable_tasks.worker.watch:Watch"
_POOL = "reliable_tasks.worker.pools.base:Pool"


@dataclass(frozen=True, slots=True)
class Ablation:
    """One safeguard, and how the code is without it.

    Attributes:
        name: of the safeguard.
        by: what has to notice: "simulation", or the store that is held against the model.
        where: the code, as `switching.changed` names it.
        old: what it has.
        new: what it has instead.
    """

    name: str
    by: str
    where: str
    old: str
    new: str = ""

    def __str__(self) -> str:
        return f"{self.by}: {self.name}"


def _simulated(name: str, where: str, old: str, new: str = "") -> Ablation:
    return Ablation(name, SIMULATED, where, old, new)


_OF_MESSAGES = (
    _simulated("fence check of a commit", f"{_CORE}._commit", " or r.fence != c.fence"),
    _simulated("one final state", f"{_CORE}._commit", " or r.state != State.RUNNING"),
    _simulated(
        "enqueue is idempotent", f"{_CORE}._store", "if old.m.token == m.token:", "if False:"
    ),
    _simulated(
        "a repeated body sends the same message",
        "reliable_tasks.tasks.calls:_token",
        "(running.request.id if running else None) or ",
    ),
    _simulated(
        "once-lock freed in the ending",
        f"{_TRANSITIONS}._end_one",
        "self._let_go(r, r.once.key)",
        "pass",
    ),
    _simulated(
        "a once-key has one holder",
        f"{_TRANSITIONS}._take",
        "lock is None or lock.owner == r.m.id",
        "True",
    ),
    _simulated(
        "one at a time while executing", f"{_CORE}._claim", "not self._take", "False and self._take"
    ),
    _simulated(
        "the lock of a run freed with its attempt",
        f"{_TRANSITIONS}._attempt_over",
        'self._free(r.once.key + ":run", r.m.id)',
        "pass",
    ),
    _simulated("who is parked goes on", f"{_TRANSITIONS}._free", "self._unpark(name)", "pass"),
    _simulated(
        "a joined duplicate hears of the ending",
        f"{_TRANSITIONS}._mirror",
        "parent.edges.append(Edge(r.m.id, On.MIRROR))",
        "pass",
    ),
    _simulated(
        "atomic countdown",
        f"{_TRANSITIONS}._follow",
        "child.waits -= 1",
        "child.waits -= self.rows % 2",
    ),
    _simulated("all parents before the child", f"{_TRANSITIONS}._startable", "r.waits or "),
    _simulated(
        "a failure ends the dependants",
        f"{_TRANSITIONS}._break",
        "self._end_one(",
        "_ = lambda: self._end_one(",
    ),
    _simulated(
        "a stage starts when it is sealed",
        f"{_TRANSITIONS}._startable",
        "self.stages[r.stage].sealed",
        "True",
    ),
    _simulated(
        "an abandoned stage is dropped",
        f"{_MODEL}._sweep_stages",
        "stage.deadline <= self.clock()",
        "False",
    ),
    _simulated(
        "nothing before it is due", f"{_TRANSITIONS}._queue_at", "due > self.clock()", "False"
    ),
    _simulated("what is due is promoted", f"{_CORE}._promote", "in due[:limit]:", "in due[:0]:"),
    _simulated("nothing after it has expired", f"{_CORE}._claim", "r.expires <= now", "False"),
    _simulated("a step is recorded once", f"{_MODEL}.step", "if known is not None:", "if False:"),
    _simulated(
        "a dead letter keeps its steps",
        f"{_TRANSITIONS}._end_one",
        "if state != State.FAILED:",
        "r.steps.clear()\n    if state != State.FAILED:",
    ),
    _simulated(
        "a step begun by the dead is not done again",
        f"{_MODEL}.step",
        "begun_by not in {0, fence}",
        "False",
    ),
    _simulated("compare-and-set of a slot", f"{_MODEL}.fire", " or old.next_ms != expected_ms"),
    _simulated(
        "the revoked is not retried",
        f"{_CORE}._commit",
        "r.revoked is not None and (",
        "False and (",
    ),
    _simulated(
        "the revoked is not taken back", f"{_MODEL}._take_back", "r.revoked is not None", "False"
    ),
    _simulated("the audit row of a claim", f"{_CORE}._claim", "self._audit(Ev.STARTED, r)", "pass"),
)
_OF_USER_CODE = (
    _simulated(
        "a start is on the board before anything of the user's",
        f"{_POOL}._begin",
        "self._board.post(slot, Posted(claim.id, claim.fence, now, 0.0, at))",
        "pass",
    ),
    _simulated(
        "an attempt is limited from its beginning",
        f"{_POOL}._begin",
        "at = now + limit_s if limit_s else 0.0",
        "at = 0.0",
    ),
    _simulated(
        "an attempt is limited to its end",
        f"{_POOL}._attempt",
        "done = context.run(self._returned",
        "done = self._board.clear(slot) or context.run(self._returned",
    ),
    _simulated(
        "a burial is limited",
        f"{_EXECUTOR}.hard_limit_s",
        "(_HOOKS_LIMIT_S if only_hooks else 0.0)",
        "0.0",
    ),
    _simulated(
        "an exit of a result's own ends nothing",
        f"{_EXECUTOR}.returned",
        "except self._outlived",
        "except Exception",
    ),
    _simulated(
        "an outcome can be packed",
        "reliable_tasks.attempts.retries:checked",
        "msgspec.msgpack.decode(msgspec.msgpack.encode(done), type=type(done))",
        "pass",
    ),
    _simulated(
        "limits are watched whatever the store does",
        f"{_SUPERVISOR}.step",
        "self._watch.limits(now)",
        "None if self._rounds.under_way else self._watch.limits(now)",
    ),
    _simulated(
        "a child that makes no progress is noticed",
        f"{_SUPERVISOR}.step",
        "self._watch.progress(",
        "_ = (lambda *_, **__: None)(",
    ),
    _simulated(
        "who could not renew lets others do so first",
        f"{_SUPERVISOR}._renewed",
        "if since_ms > half_ms:",
        "if False:",
    ),
    _simulated(
        "who could not renew is not taken for lapsed",
        f"{_MODEL}.reap",
        "now if lapsed_by_ms is None else min(now, lapsed_by_ms)",
        "now",
    ),
    _simulated(
        "what has only lapsed is renewed",
        f"{_MODEL}.heartbeat",
        "if s is None:",
        "if s is None or s.lease_until_ms <= now:",
    ),
)
_OF_CLAIMS = (
    _simulated(
        "an unknown session claims nothing",
        f"{_CORE}.exchange",
        "if s is None or s.lease_until_ms <= self.clock():",
        "s = s or v.SessionInfo(id=session, worker='ghost')\n    if False:",
    ),
    _simulated(
        "fences grow", f"{_CORE}._claim", "self.fence += 1", "self.fence = max(1, self.fence)"
    ),
    _simulated("deliveries are counted", f"{_CORE}._claim", "r.delivery += 1", "r.delivery = 1"),
    _simulated(
        "a release costs no delivery",
        f"{_CORE}._apply",
        "case oc.Released():\n            self._uncount(r)",
        "case oc.Released():",
    ),
    _simulated(
        "a start is counted although its body had ended",
        f"{_SUPERVISOR}._notice_deaths",
        "self._processes.begun(pid)",
        "frozenset(p.fence for p in self._processes.running(pid))",
    ),
    _simulated(
        "a start is counted whatever its process died of",
        "reliable_tasks.worker.children:DeadChild.outcome_of",
        "claim.fence not in self.begun",
        "True",
    ),
    _simulated("a retry is an attempt", f"{_CORE}._apply", "r.attempt += 1", "pass"),
    _simulated(
        "the store buries what nobody could",
        f"{_MODEL}._take_back",
        "r.delivery >= r.m.max_deliveries + HOOK_DELIVERIES",
        "False",
    ),
    _simulated(
        "no body beyond the delivery limit",
        f"{_EXECUTOR}.begin",
        " or claim.delivery > claim.max_deliveries",
    ),
    _simulated(
        "the killed are dead-lettered", f"{_EXECUTOR}.begin", "claim.limit_failure is not None or "
    ),
    _simulated(
        "an unknown task goes back",
        f"{_EXECUTOR}._unknown",
        "claim.bounces >= self._settings.unknown_task_limit",
        "True",
    ),
    _simulated(
        "an exit of a hook ends nothing",
        "reliable_tasks.attempts.notifier:Notifier._try",
        "except self._outlived",
        "except Exception",
    ),
    _simulated("lapsed sessions are reaped", f"{_MODEL}.reap", "s.lease_until_ms <= by", "False"),
    _simulated(
        "reconcile after a lost reply",
        f"{_CONSUMER}.reconcile",
        "self._waiting.extend(",
        "_ = lambda: self._waiting.extend(",
    ),
    _simulated(
        "reconcile knows what waits to be committed",
        f"{_CONSUMER}.reconcile",
        " | {c.fence for c in self._done}",
    ),
    _simulated(
        "outcomes are said again",
        f"{_CONSUMER}.failed",
        "self._done.extendleft(reversed(self._sent or ()))",
        "pass",
    ),
    _simulated(
        "reconcile once in a while",
        "property_tests.simulation.workers:SimChild._next_job",
        " or now - self.reconciled_at >= _RECONCILE_S",
    ),
    _simulated(
        "the session of the dead is closed",
        "reliable_tasks.worker.supervisor:_closing",
        "store.close_session(session)",
        "None",
    ),
    _simulated(
        "a replay takes the once-lock",
        f"{_MODEL}._replay",
        "r.once and r.once.scope in HELD_UNTIL",
        "False",
    ),
    _simulated("the dead are replaced", f"{_SUPERVISOR}._duties", "self._replenish, "),
    _simulated("housekeeping", f"{_SUPERVISOR}._housekeep", "yield from self._reap(", "_ = dict("),
    _simulated("heartbeats", f"{_SUPERVISOR}._heartbeat", "self._now < self._heartbeat_at", "True"),
    _simulated(
        "hard time limits",
        f"{_WATCH}.limits",
        "0 < posted.hard_deadline <= now",
        "False",
    ),
    _simulated(
        "soft time limits",
        f"{_WATCH}.limits",
        "0 < posted.soft_deadline <= now",
        "False",
    ),
)

OF_WORLDS = (*_OF_MESSAGES, *_OF_CLAIMS, *_OF_USER_CODE)
