-- Records in memory: what a script reads of messages, changes, and writes at its end.
--
-- Nothing is written while a script decides: it changes the tables below, and `flush` (write.lua)
-- then writes all of it with commands that cannot fail. So an error on the way leaves no trace.
--
-- {ns}:m:<id> is a hash: c = control, m = message, x = extras (all msgpack, text and numbers only,
-- false for none), p = payload, h = headers, r = result, f = failure, d = doom, s = state of
-- progress, g = its meta. x, h, r, f, d, s, g may be absent; p is absent once it is not needed.
-- KEYS[1] is '{ns}:'; ARGV[1] is now (ms; '' = server time), ARGV[2] the audit mode.
-- @include clock.lua

local prefix, now, audit_all = KEYS[1], clock_now(ARGV[1]), ARGV[2] == 'all'

-- c: what changes
local STATE, VERSION, REASON, ATTEMPT, DELIVERY, BOUNCES = 1, 2, 3, 4, 5, 6
local FENCE, COMMITTED, SEQ, SESSION, WORKER, ENQUEUED = 7, 8, 9, 10, 11, 12
local DUE, EXPIRES, FIRST, STARTED, ENDED, QUEUE, RESULT_TTL = 13, 14, 15, 16, 17, 18, 19
-- m: what was enqueued; it never changes, and the common path does not unpack it
local TASK, M_QUEUE, PRIORITY, M_RESULT_TTL, FAILURE_TTL, MAX_DELIVERIES = 1, 2, 3, 4, 5, 6
local ONCE, TOKEN, ETA, DELAY, EXPIRES_AT, EXPIRES_IN, JOINS, WAITS = 7, 8, 9, 10, 11, 12, 13, 14
-- m[ONCE], x.once
local KEY, SCOPE, POLICY, TIMEOUT = 1, 2, 3, 4
-- x.edges[n]
local CHILD, ON, SLOT = 1, 2, 3
-- Of x, absent while it does not apply: once, waits, mirrors, parked, admitted, stage, revoked, edges,
-- broken, born (a number that orders those that expire); that there are inputs, steps, progress.
-- A message that is just one call, as most are, has no x: all that costs time hangs on it.
local NO_EXTRAS = {}

local FINAL = { succeeded = true, failed = true, revoked = true }
local PLACE_IN_QUEUE = 2 ^ 44 -- a queue's score is priority * this + seq

local records = {} -- id -> record; false = there is none
local foreign = {} -- ids whose key is taken by something that is no hash
local dirty = {} -- records to write, in the order of their first change
local later = {} -- commands to run at the end, in order
local counter_base, counter_used = {}, {}

local function put_off(...) later[#later + 1] = { ... } end

-- The next number of the counter {ns}:<name>.
local function next_number(name)
  local base = counter_base[name]
  if not base then
    base = tonumber(redis.call('GET', prefix .. name) or 0)
    counter_base[name], counter_used[name] = base, 0
  end
  counter_used[name] = counter_used[name] + 1
  return base + counter_used[name]
end

-- A dead letter: it failed by itself, and can be replayed.
local function is_dead(state, reason)
  return state == 'failed' and reason ~= 'parent' and reason ~= 'mirror'
end

-- The unpacked m of a record.
local function static(r)
  local m = r.m
  if not m then
    m = cmsgpack.unpack(r.packed_m)
    r.m = m
  end
  return m
end

-- The sorted set in which a record stands: each stands in exactly one.
local function place_of(state, queue, session)
  if state == 'queued' then return 'q:' .. queue end
  if state == 'running' then return 'claims:' .. session end
  if state == 'scheduled' or state == 'waiting' then return state end
  return 'ended:' .. state
end

-- Its score there.
local function score_of(r)
  local c = r.c
  local state = c[STATE]
  if state == 'queued' then return static(r)[PRIORITY] * PLACE_IN_QUEUE + c[SEQ] end
  if state == 'running' then return c[FENCE] end
  if state == 'scheduled' then return c[DUE] end
  if state == 'waiting' then return c[ENQUEUED] end
  local ttl = state == 'failed' and static(r)[FAILURE_TTL] or c[RESULT_TTL]
  return ttl > 0 and c[ENDED] + ttl or '+inf'
end

-- When a record in this state has to be looked at because it expires; false = never.
local function expiry_of(state, expires)
  return not FINAL[state] and state ~= 'running' and expires
end

-- A record made of the replies to HGET c, m, x; `move` needs to know how it was.
local function adopt(id, key, packed_c, packed_m, packed_x)
  local c = cmsgpack.unpack(packed_c)
  local r = {
    id = id, key = key, c = c, packed_m = packed_m,
    x = packed_x and cmsgpack.unpack(packed_x) or NO_EXTRAS,
    old_state = c[STATE], old_queue = c[QUEUE], old_session = c[SESSION],
    old_expires = c[EXPIRES], old_reason = c[REASON],
    -- Named here for room: a table that grows is copied.
    dirty = false, moved = false, fields = false, m = false, packed_c = false, hot = false,
  }
  records[id] = r
  return r
end

-- The record of a message, or false. A key of ours that somebody else took counts as absent here;
-- `store` refuses to write there.
local function load(id)
  local r = records[id]
  if r ~= nil then return r end
  local key = prefix .. 'm:' .. id
  local got = redis.pcall('HMGET', key, 'c', 'm', 'x')
  if got.err or not got[1] then
    foreign[id] = got.err
    records[id] = false
    return false
  end
  return adopt(id, key, got[1], got[2], got[3])
end

local function touch(r)
  if not r.dirty then
    r.dirty = true
    dirty[#dirty + 1] = r
  end
end

local function changed(r)
  r.c[VERSION] = r.c[VERSION] + 1
  touch(r)
end

local function set_state(r, state)
  r.c[STATE], r.moved = state, true
  changed(r)
end

local function set_extra(r, name, value)
  if r.x == NO_EXTRAS then r.x = {} end
  r.x[name] = value
  r.x_changed = true
  touch(r)
end

-- Change a field of the hash; false = delete it.
local function set_field(r, name, value)
  if not r.fields then r.fields = {} end
  r.fields[name] = value
  touch(r)
end

-- A field of the hash as it will be; false = absent.
local function field(r, name)
  local value = nil
  if r.fields then value = r.fields[name] end
  if value == nil then
    value = redis.call('HGET', r.key, name)
  end
  return value
end

-- The record's other keys: what parents left for it, and its steps.
local function forget_inputs(r)
  if r.x.inputs then
    put_off('DEL', prefix .. 'in:' .. r.id)
    set_extra(r, 'inputs', nil)
  end
end

local function forget_steps(r)
  if r.x.steps then
    put_off('DEL', prefix .. 'step:' .. r.id)
    set_extra(r, 'steps', nil)
  end
end

-- Delete a record; its locks are the caller's business.
local function forget(r)
  forget_inputs(r)
  forget_steps(r)
  r.deleted = true
  touch(r)
  records[r.id] = false
end
