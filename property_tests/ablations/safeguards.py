"""The safeguards: for each the line that makes it, and how the code reads without it.

Whoever changes such a line is told here that it is not found any more, and adapts the ablation.
"""

from __future__ import annotations

from property_tests.ablations.safeguards_of_worlds import OF_WORLDS, SIMULATED, Ablation

__all__ = ["ABLATIONS", "ONCE_KEYS", "SIMULATED", "Ablation"]

_SQLITE = "reliable_tasks.store.sqlite"


def _sqlite(name: str, where: str, old: str, new: str = "") -> Ablation:
    place = where if where.startswith("sql:") else f"{_SQLITE}.{where}"
    return Ablation(name, "memory", place, old, new)


_OF_SQLITE = (
    _sqlite(
        "an errback waits for its key",
        "transitions:Transitions._errback",
        "self.startable(child)",
        "1",
    ),
    _sqlite("fence check of a commit", "exchange:_commit", " or r.fence != c.fence"),
    _sqlite(
        "a commit that is repeated is known",
        "exchange:_commit",
        "r.committed_fence == c.fence",
        "False",
    ),
    _sqlite("fence check of a report", "sessions:report", " or r.fence != fence"),
    _sqlite("fence check of a step", "sessions:step", " or r.fence != fence"),
    _sqlite(
        "a lapsed session claims nothing", "exchange:exchange", "lease_until <= work.now", "False"
    ),
    _sqlite(
        "who could not renew is not taken for lapsed",
        "reap:reap",
        "work.now if lapsed_by is None else min(work.now, lapsed_by)",
        "work.now",
    ),
    _sqlite(
        "lapsed sessions are reaped",
        "sql:sessions/lapsed",
        "lease_until <= ?1",
        "lease_until < 0 AND ?1",
    ),
    _sqlite(
        "once-lock freed in the ending",
        "transitions:Transitions._end_one",
        "self._let_go(r, once.key)",
        "pass",
    ),
    _sqlite("atomic countdown", "transitions:Transitions._follow", "child.waits -= 1", "pass"),
    _sqlite(
        "a stage starts when it is sealed",
        "transitions:Transitions._unstaged",
        "bool(found[0])",
        "True",
    ),
    _sqlite("compare-and-set of a slot", "schedules:fire", " or old.next_ms != expected_ms"),
    _sqlite("what is due is promoted", "sql:records/due", "due <= ?1", "?1 < 0"),
    _sqlite("expiry", "sql:records/expired", "expires <= ?1", "?1 < 0"),
    _sqlite(
        "an id and token are stored once", "enqueue:store_message", "old.token == m.token", "False"
    ),
    _sqlite("the audit row of a claim", "exchange:_claim", "work.audit(Ev.STARTED, r)", "pass"),
    _sqlite(
        "who adds rows to the trail drops what is too many",
        "trail:Trail.finish",
        "self._exceeds(SPARE)",
        "False",
    ),
    _sqlite("rows that are too old are dropped", "trail:Trail.trim", "at > too_old and", ""),
    _sqlite("it is told which rows were dropped", "sql:audit/cut_count", "seq <= ?1", "seq < 0"),
    _sqlite(
        "what is dropped of a message without rows is forgotten",
        "sql:audit/cut_forget",
        "seq <= ?1)",
        "seq < 0)",
    ),
    _sqlite("what is repeated is counted in one row", "sql:audit/count", "event = ?3", "?3 < 0"),
    _sqlite("it is counted for a while only", "sql:audit/count", "at > ?4", "at > ?4 - 1000000"),
    _sqlite(
        "a dead letter keeps its steps",
        "transitions:Transitions._end_one",
        "if not failed:",
        "self.drop_parts(r, PART_STEPS)\n    if not failed:",
    ),
    _sqlite(
        "a closed session leaves nothing claimed",
        "sessions:close_session",
        "found = work.records(HELD, (session, steps.STEP_MESSAGES))",
        "found = work.records(HELD, (session, 0))",
    ),
    _sqlite(
        "a replay takes the once-lock",
        "operators:replay",
        "once is not None and once.scope in HELD_UNTIL",
        "False",
    ),
    _sqlite(
        "a replaced message lends its once-key",
        "transitions:Transitions._lend",
        "owner in stands_for",
        "False",
    ),
    _sqlite(
        "a lent once-key is passed on", "transitions:Transitions._let_go", "heir is None", "True"
    ),
    _sqlite(
        "one at a time uses a lent once-key",
        "transitions:Transitions._lend",
        "user.id in stands_for",
        "True",
    ),
    _sqlite(
        "a refused message leaves what has its id alone",
        "enqueue:store_message",
        "return refused",
        "return refused if old is None else work.delete(old) or refused",
    ),
)


def _redis(name: str, old: str, new: str = "", script: str = "*") -> Ablation:
    return Ablation(name, "redis", f"lua:{script}", old, new)


_OF_REDIS = (
    _redis(
        "an errback waits for its key", "if startable(child) then make_ready(child) end -- it", "--"
    ),
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
    _redis("compare-and-set of a slot", " or slots[SLOT_NEXT] ~= expected[SLOT_NEXT]"),
    _redis("an id and token are stored once", "static(old)[TOKEN] == m[TOKEN]", "false"),
    _redis("the audit row of a claim", "audit('started', r)"),
    _redis(
        "who adds rows to the trail drops what is too many",
        "is_beyond(redis.call('XLEN', prefix .. 'audit'), trail_bytes, 1 + 1 / SPARE)",
        "false",
    ),
    _redis("rows that are too old are dropped", "at > too_old and not", "not"),
    _redis(
        "a row stands in the list of its message",
        "redis.call('RPUSH', prefix .. 'audit:' .. id, number)",
    ),
    _redis(
        "it is told which rows were dropped",
        "redis.call('HINCRBY', prefix .. 'auditcut', id, number)",
    ),
    _redis(
        "what is dropped of a message without rows is forgotten",
        "in_parts('HDEL', prefix .. 'auditcut', forgotten)",
    ),
    _redis(
        "how often a dropped row happened is forgotten",
        "in_parts('HDEL', prefix .. 'auditagain', again)",
    ),
    _redis(
        "what is repeated is counted in one row",
        "COUNTED[event] and count_again(event, id)",
        "false",
    ),
    _redis("it is counted for a while only", " or row.at <= now - AUDIT_COUNTED_MS"),
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
        "local ids = claims_of(session, limit)",
        "local ids = {}",
        script="close_session",
    ),
    _redis(
        "a replay takes the once-lock",
        "if not take_lock(once[KEY], r, once[TIMEOUT]) then"
        " return 'held', lock_of(once[KEY]).owner end",
        script="replay",
    ),
    _redis(
        "a refused message leaves what has its id alone",
        "refuse(id, m, p)\n  if refused then",
        "refuse(id, m, p)\n  if refused then if old then forget(old) end",
    ),
    _redis(
        "who reads makes records of inboxes",
        "if absorb_all() > 0 then return MORE end\nlocal reply",
        "local reply",
        script="read",
    ),
    _redis(
        "what is queued stays behind inboxes",
        "if absorb_all() > 0 then return MORE end\nlocal plain",
        "local plain",
        script="enqueue",
    ),
    _redis(
        "what is given back stays behind inboxes",
        "absorb_all()\n    local refused",
        "local refused",
    ),
    _redis(
        "what is due stays behind inboxes",
        "absorb_all()\n    general().promote",
        "general().promote",
    ),
    _redis(
        "an inbox is claimed from where nothing else is queued",
        "if redis.call('EXISTS', key) == 0 then claimed",
        "if true then claimed",
    ),
    _redis(
        "a record is not written over by a late copy",
        "ids[1] and redis.call('MSETNX', unpack(keys_and_strings(ids, strings))) == 0",
        "ids[1] and not redis.call('MSET', unpack(keys_and_strings(ids, strings)))",
    ),
    _redis("what comes twice is one message", "if id and not seen[id] then", "if id then"),
    _redis(
        "a claim from an inbox writes over nothing",
        "if redis.call('MSETNX', unpack(keys_and_strings(ids, strings))) == 0 then\n      absorb",
        "if not redis.call('MSET', unpack(keys_and_strings(ids, strings))) then\n      absorb",
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
    Ablation(f"{_LETS_GO} (SQLite)", _CAPPED, "sql:locks/lapsed", "until_ms <= ?3", "?3 < 0"),
    Ablation(f"{_LETS_GO} (Redis)", _CAPPED, "lua:reap", "up_to_now('locks', limit)", "{}"),
)

ABLATIONS: tuple[Ablation, ...] = (*OF_WORLDS, *_OF_SQLITE, *_OF_REDIS, *_OF_ONCE_KEYS)
