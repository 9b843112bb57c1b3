"""The safeguards: for each the line that makes it, and how the code reads without it.

Whoever changes such a line is told here that it is not found any more, and adapts the ablation.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ABLATIONS", "ONCE_KEYS", "SIMULATED", "Ablation"]

SIMULATED = "simulation"
_CORE = "property_tests.model_core:Core"
_MOVES = "property_tests.model_moves:Moves"
_MODEL = "property_tests.model:Model"
_CONSUMER = "reliable_tasks.worker.consumer:Consumer"
_EXECUTOR = "reliable_tasks.worker.executor:Executor"
_SUPERVISOR = "reliable_tasks.worker.supervisor:Supervisor"
_SQLITE = "reliable_tasks.store.sqlite"


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
        "reliable_tasks.calls:_token",
        "(running.request.id if running else None) or ",
    ),
    _simulated(
        "once-lock freed in the ending",
        f"{_MOVES}._end_one",
        "self._let_go(r, r.once.key)",
        "pass",
    ),
    _simulated(
        "a once-key has one holder",
        f"{_MOVES}._take",
        "lock is None or lock.owner == r.m.id",
        "True",
    ),
    _simulated(
        "one at a time while executing", f"{_CORE}._claim", "not self._take", "False and self._take"
    ),
    _simulated(
        "the lock of a run freed with its attempt",
        f"{_MOVES}._attempt_over",
        'self._free(r.once.key + ":run", r.m.id)',
        "pass",
    ),
    _simulated("who is parked goes on", f"{_MOVES}._free", "self._unpark(name)", "pass"),
    _simulated(
        "a joined duplicate hears of the ending",
        f"{_MOVES}._mirror",
        "parent.edges.append(Edge(r.m.id, On.MIRROR))",
        "pass",
    ),
    _simulated(
        "atomic countdown", f"{_MOVES}._follow", "child.waits -= 1", "child.waits -= self.rows % 2"
    ),
    _simulated("all parents before the child", f"{_MOVES}._startable", "r.waits or "),
    _simulated(
        "a failure ends the dependants",
        f"{_MOVES}._break",
        "self._end_one(",
        "_ = lambda: self._end_one(",
    ),
    _simulated(
        "a stage starts when it is sealed",
        f"{_MOVES}._startable",
        "self.stages[r.stage].sealed",
        "True",
    ),
    _simulated(
        "an abandoned stage is dropped",
        f"{_MODEL}._sweep_stages",
        "stage.deadline <= self.clock()",
        "False",
    ),
    _simulated("nothing before it is due", f"{_MOVES}._queue_at", "due > self.clock()", "False"),
    _simulated("what is due is promoted", f"{_CORE}._promote", "in due[:limit]:", "in due[:0]:"),
    _simulated("nothing after it has expired", f"{_CORE}._claim", "r.expires <= now", "False"),
    _simulated("a step is recorded once", f"{_MODEL}.step", "if known is not None:", "if False:"),
    _simulated(
        "a dead letter keeps its steps",
        f"{_MOVES}._end_one",
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
        "self._hands.begun(pid)",
        "frozenset(p.fence for p in self._hands.running(pid))",
    ),
    _simulated(
        "a start is counted whatever its process died of",
        "reliable_tasks.worker.crew:Burial.fate",
        "claim.fence not in self.begun",
        "True",
    ),
    _simulated("a retry is an attempt", f"{_CORE}._apply", "r.attempt += 1", "pass"),
    _simulated(
        "the store buries what nobody could",
        f"{_MODEL}._take_back",
        "r.delivery >= r.m.max_deliveries + BURIAL_TRIES",
        "False",
    ),
    _simulated(
        "no body beyond the delivery limit",
        f"{_EXECUTOR}._begin",
        " or claim.delivery > claim.max_deliveries",
    ),
    _simulated("the doomed are buried", f"{_EXECUTOR}._begin", "claim.doom is not None or "),
    _simulated(
        "an unknown task goes back", f"{_EXECUTOR}._unknown", "claim.bounces >= limit", "True"
    ),
    _simulated(
        "an exit of a hook ends nothing",
        "reliable_tasks.worker.telling:Teller._try",
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
        "property_tests.simulation.workers:SimChild.talk",
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
        f"{_SUPERVISOR}._watch_limits",
        "0 < posted.hard_deadline <= now",
        "False",
    ),
    _simulated(
        "soft time limits",
        f"{_SUPERVISOR}._watch_limits",
        "0 < posted.soft_deadline <= now",
        "False",
    ),
)


def _sqlite(name: str, where: str, old: str, new: str = "") -> Ablation:
    place = where if where.startswith("sql:") else f"{_SQLITE}.{where}"
    return Ablation(name, "memory", place, old, new)


_OF_SQLITE = (
    _sqlite("an errback waits for its key", "_moves:Moves._errback", "self.startable(child)", "1"),
    _sqlite("fence check of a commit", "_exchange:_commit", " or r.fence != c.fence"),
    _sqlite(
        "a commit that is repeated is known",
        "_exchange:_commit",
        "r.committed_fence == c.fence",
        "False",
    ),
    _sqlite("fence check of a report", "_sessions:report", " or r.fence != fence"),
    _sqlite("fence check of a step", "_sessions:step", " or r.fence != fence"),
    _sqlite(
        "a lapsed session claims nothing", "_exchange:exchange", "lease_until <= work.now", "False"
    ),
    _sqlite(
        "who could not renew is not taken for lapsed",
        "_reap:reap",
        "work.now if lapsed_by is None else min(work.now, lapsed_by)",
        "work.now",
    ),
    _sqlite(
        "lapsed sessions are reaped",
        "sql:sessions_lapsed",
        "lease_until <= ?1",
        "lease_until < 0 AND ?1",
    ),
    _sqlite(
        "once-lock freed in the ending",
        "_moves:Moves._end_one",
        "self._let_go(r, once.key)",
        "pass",
    ),
    _sqlite("atomic countdown", "_moves:Moves._follow", "child.waits -= 1", "pass"),
    _sqlite("a stage starts when it is sealed", "_moves:Moves._unstaged", "bool(found[0])", "True"),
    _sqlite("compare-and-set of a slot", "_beat:fire", " or old.next_ms != expected_ms"),
    _sqlite("what is due is promoted", "sql:due", "due <= ?1", "?1 < 0"),
    _sqlite("expiry", "sql:expired", "expires <= ?1", "?1 < 0"),
    _sqlite(
        "an id and token are stored once", "_enqueue:store_message", "old.token == m.token", "False"
    ),
    _sqlite("the audit row of a claim", "_exchange:_claim", "work.audit(Ev.STARTED, r)", "pass"),
    _sqlite(
        "a dead letter keeps its steps",
        "_moves:Moves._end_one",
        "if not failed:",
        "self.drop_parts(r, PART_STEPS)\n    if not failed:",
    ),
    _sqlite(
        "a closed session leaves nothing claimed",
        "_sessions:close_session",
        "while found := work.records(HELD",
        "while found := None and work.records(HELD",
    ),
    _sqlite(
        "a replay takes the once-lock",
        "_operators:replay",
        "once is not None and once.scope in HELD_UNTIL",
        "False",
    ),
    _sqlite(
        "a replaced message lends its once-key",
        "_moves:Moves._lend",
        "owner in stands_for",
        "False",
    ),
    _sqlite("a lent once-key is passed on", "_moves:Moves._let_go", "heir is None", "True"),
    _sqlite(
        "one at a time uses a lent once-key", "_moves:Moves._lend", "user.id in stands_for", "True"
    ),
    _sqlite(
        "a refused message leaves what has its id alone",
        "_enqueue:store_message",
        "return refused",
        "return refused if old is None else work.delete(old) or refused",
    ),
)


def _redis(name: str, old: str, new: str = "", script: str = "*") -> Ablation:
    return Ablation(name, "redis", f"lua:{script}", old, new)


_OF_REDIS = (
    _redis("an errback waits for its key", "if startable(child) then ready(child) end -- it", "--"),
    _redis("fence check of a commit", " or r.c[FENCE] ~= fence"),
    _redis("fence check of a plain commit", " and string.sub(packed, 2, 9) == fence"),
    _redis("one final state of a plain message", " and string.byte(packed) == IS_CLAIMED"),
    _redis(
        "a plain message is stored once",
        "redis.call('MSETNX', unpack(strings)) == 0",
        "not redis.call('MSET', unpack(strings))",
    ),
    _redis("fence check of a report", " or r.c[FENCE] ~= tonumber(ARGV[4])"),
    _redis("fence check of a step", " or r.c[FENCE] ~= tonumber(fence)"),
    _redis(
        "who could not renew is not taken for lapsed",
        "math.min(now, tonumber(ARGV[5]) or now)",
        "now",
    ),
    _redis(
        "lapsed sessions are reaped",
        "up_to(math.min(now, tonumber(ARGV[5]) or now), 'sessions', limit)",
        "{}",
    ),
    _redis("atomic countdown", "count_down(child)\n    if startable", "if startable"),
    _redis("a stage starts when it is sealed", "not (x.stage and stage_open(x.stage))", "true"),
    _redis("compare-and-set of a slot", " or slots[2] ~= expected[2]"),
    _redis("an id and token are stored once", "static(old)[TOKEN] == m[TOKEN]", "false"),
    _redis("the audit row of a claim", "audit('started', r)"),
    _redis(
        "a dead letter keeps its steps",
        "if r.c[STATE] ~= 'failed' then\n    forget_inputs(r)",
        "forget_steps(r)\n  if r.c[STATE] ~= 'failed' then\n    forget_inputs(r)",
    ),
    _redis("a replaced message lends its once-key", "above[owner] and load(owner)", "false"),
    _redis("a lent once-key is passed on", "if not heir or", "if true or"),
    _redis("one at a time uses a lent once-key", "or not above[user.id]", ""),
    _redis(
        "a closed session leaves nothing claimed",
        "local ids = held_by(session, limit)",
        "local ids = {}",
        script="close_session",
    ),
    _redis(
        "a replay takes the once-lock",
        "if not take(once[KEY], r, once[TIMEOUT]) then return 'held', lock_of(once[KEY]).owner end",
        script="replay",
    ),
    _redis(
        "a refused message leaves what has its id alone",
        "refuse(id, m, row[3])\n  if refused then",
        "refuse(id, m, row[3])\n  if refused then if old then forget(old) end",
    ),
    _redis(
        "the audit row of a plain claim",
        "if audit_all then general().audit_packed('started', id, packed) end",
    ),
)

_CAPPED = "until_expired reschedule"
ONCE_KEYS = (_CAPPED,)
_LETS_GO = "a capped once-lock is let go of"
_OF_ONCE_KEYS = (
    Ablation(f"{_LETS_GO} (SQLite)", _CAPPED, "sql:locks_lapsed", "until_ms <= ?3", "?3 < 0"),
    Ablation(f"{_LETS_GO} (Redis)", _CAPPED, "lua:reap", "up_to_now('locks', limit)", "{}"),
)

_OF_WORLDS = (*_OF_MESSAGES, *_OF_CLAIMS)
ABLATIONS: tuple[Ablation, ...] = (*_OF_WORLDS, *_OF_SQLITE, *_OF_REDIS, *_OF_ONCE_KEYS)
