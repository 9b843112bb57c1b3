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
local DUE, EXPIRES, FIRST, STARTED, ENDED = 13, 14, 15, 16, 17
-- m: what was enqueued
local TASK, QUEUE, PRIORITY, RESULT_TTL, FAILURE_TTL, MAX_DELIVERIES = 1, 2, 3, 4, 5, 6
local ONCE, TOKEN, ETA, DELAY, EXPIRES_AT, EXPIRES_IN, JOINS, WAITS = 7, 8, 9, 10, 11, 12, 13, 14
-- m[ONCE]
local KEY, SCOPE, POLICY, TIMEOUT = 1, 2, 3, 4
-- x.edges[n]
local CHILD, ON, SLOT = 1, 2, 3
-- Of x, absent while it does not apply: waits, mirrors, parked, admitted, stage, revoked, edges,
-- broken, born (a number that orders those that expire), and that there are inputs, steps, progress.

local FINAL = { succeeded = true, failed = true, revoked = true }
local PLACE_IN_QUEUE = 2 ^ 44 -- a queue's score is priority * this + seq

local records = {} -- id -> record; false = there is none
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

local function is_dead(c)
  return c[STATE] == 'failed' and c[REASON] ~= 'parent' and c[REASON] ~= 'mirror'
end

-- The sorted set in which a record stands, and its score there: each stands in exactly one.
local function place_of(r)
  local c, state = r.c, r.c[STATE]
  if state == 'queued' then
    return 'q:' .. r.m[QUEUE], r.m[PRIORITY] * PLACE_IN_QUEUE + c[SEQ]
  elseif state == 'running' then
    return 'claims:' .. c[SESSION], c[FENCE]
  elseif state == 'scheduled' then
    return 'scheduled', c[DUE]
  elseif state == 'waiting' then
    return 'waiting', c[ENQUEUED]
  end
  local ttl = r.m[state == 'failed' and FAILURE_TTL or RESULT_TTL]
  return 'ended:' .. state, ttl > 0 and c[ENDED] + ttl or '+inf'
end

-- When the record has to be looked at because it expires; false = never.
local function expiry_of(c)
  return not FINAL[c[STATE]] and c[STATE] ~= 'running' and c[EXPIRES]
end

local function remember_place(r)
  r.old_place, r.old_score = place_of(r)
  r.old_expiry, r.old_dead = expiry_of(r.c), is_dead(r.c)
  r.old_state, r.old_queue = r.c[STATE], r.m[QUEUE]
end

-- A record made of the replies to HGET c, m, x.
local function adopt(id, key, c, m, x)
  local r = {
    id = id, key = key, c = cmsgpack.unpack(c), m = cmsgpack.unpack(m), packed_m = m,
    x = x and cmsgpack.unpack(x) or {}, fields = {},
  }
  remember_place(r)
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
  r.c[STATE] = state
  changed(r)
end

local function set_extra(r, name, value)
  r.x[name] = value
  r.x_changed = true
  touch(r)
end

-- A field of the hash as it will be; false = absent.
local function field(r, name)
  local value = r.fields[name]
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
