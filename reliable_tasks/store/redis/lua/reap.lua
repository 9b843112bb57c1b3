-- One bounded round of recovery and housekeeping.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, limit, audit_ttl_ms (0 = for ever), by when a session must have lapsed (ms; '' = now),
--         dead sessions ...
-- Returns {requeued, promoted, expired, deleted, unparked, more (0 or 1), next due (0 = nothing
--         is), id and task of each that was dead_lettered ...}.
-- @include sessions.lua
-- @include delete.lua
-- @include stages.lua
-- @include inbox.lua

local IDLE_INBOX_MS = 3600000
local limit, more = tonumber(ARGV[3]), 0
local dead_lettered = {}

local function up_to(instant, key, most)
  local ids = redis.call('ZRANGEBYSCORE', prefix .. key, '-inf', instant, 'LIMIT', 0, most)
  if #ids >= most then more = 1 end
  return ids
end

local function up_to_now(key, most) return up_to(now, key, most) end

-- What a dead session held goes back to its place, until it has had too many deliveries:
-- HOOK_DELIVERIES beyond the limit are for a worker to run the hooks of the dead letter.
local function take_back(r)
  end_attempt(r)
  audit('reaped', r)
  if r.x.revoked then
    finish(r, 'revoked', 'revoked')
  elseif r.c[DELIVERY] >= static(r)[MAX_DELIVERIES] + HOOK_DELIVERIES then
    finish(r, 'failed', 'delivery limit', '', false, r.x.doom or false)
    dead_lettered[#dead_lettered + 1] = r.id
    dead_lettered[#dead_lettered + 1] = static(r)[TASK]
  else
    queue_again(r, false, true)
  end
end

local function take_back_all()
  local seen, requeued, budget = {}, 0, limit
  local sessions = {}
  for index = 6, #ARGV do sessions[#sessions + 1] = ARGV[index] end
  local lapsed = up_to(math.min(now, tonumber(ARGV[5]) or now), 'sessions', limit)
  table.sort(lapsed)
  for _, session in ipairs(lapsed) do sessions[#sessions + 1] = session end
  for _, session in ipairs(sessions) do
    local ids = not seen[session] and budget > 0 and claims_of(session, budget) or {}
    for _, id in ipairs(ids) do
      local r = load(id)
      if r and r.c[STATE] == 'running' then -- else it could not be read, and is set aside
        take_back(r)
        if r.c[STATE] == 'queued' then requeued = requeued + 1 end
      else
        defer('ZREM', prefix .. 'claims:' .. session, id)
      end
    end
    budget, seen[session] = budget - #ids, true
    if budget > 0 then forget_session(session) else more = 1 end
  end
  flush()
  return requeued
end

local function expire()
  local late = {}
  for _, id in ipairs(up_to_now('expires', limit)) do
    local r = load(id)
    if r then late[#late + 1] = r else defer('ZREM', prefix .. 'expires', id) end
  end
  for _, r in ipairs(late) do
    if not FINAL[r.c[STATE]] then finish(r, 'revoked', 'expired') end
  end
  flush()
  return #late
end

local function unpark_lapsed()
  local names, unparked = up_to_now('locks', limit), 0
  table.sort(names)
  for _, name in ipairs(names) do
    if lock_of(name) then
      defer('ZREM', prefix .. 'locks', name)
    else
      local entry = lock_entry(name)
      entry.is, entry.changed = nil, true
      if parked_first(name) then unparked = unparked + 1 end
      unpark_first(name)
    end
  end
  flush()
  return unparked
end

local function delete_abandoned(name)
  local key, deleted = prefix .. 'stage:' .. name, 0
  local ids = redis.call('LRANGE', key, 0, limit - 1)
  for _, id in ipairs(ids) do
    local r = load(id)
    if r and r.x.stage == name then
      audit('dropped', r, '{"reason":"abandoned"}')
      delete(r)
      deleted = deleted + 1
    end
  end
  if #ids < limit then
    defer('DEL', key)
    defer('ZREM', prefix .. 'stages', name)
  else
    defer('LTRIM', key, limit, -1)
    more = 1
  end
  flush()
  return deleted
end

local function sweep_stages()
  local deleted = 0
  for _, name in ipairs(redis.call('ZRANGE', prefix .. 'sealed', 0, 9)) do
    if open_stage(name, limit) > 0 then more = 1 end
    flush()
  end
  for _, name in ipairs(up_to_now('stages', 10)) do deleted = deleted + delete_abandoned(name) end
  return deleted
end

local function sweep_old()
  local deleted, bytes = 0, 0
  for _, state in ipairs({ 'succeeded', 'failed', 'revoked' }) do
    for _, id in ipairs(up_to_now('ended:' .. state, limit)) do
      if bytes >= HANDED_AT_ONCE then
        more = 1
        break
      end
      local r = load(id)
      if r then
        bytes = bytes + #r.packed
        delete(r)
        deleted = deleted + 1
      else
        defer('ZREM', prefix .. 'ended:' .. state, id)
      end
    end
  end
  flush()
  return deleted
end

-- An inbox that nobody has used for long goes, or any while there is no worker, if nothing is queued:
-- it has bells at most. Producers find that out, and make it again.
local function close_inbox(queue)
  local key, is_left = prefix .. 'inbox:' .. queue, redis.call('EXISTS', prefix .. 'sessions') == 0
  if redis.call('EXISTS', prefix .. 'q:' .. queue) == 1 then return end
  local about = redis.call('XINFO', 'STREAM', key)
  for index = 1, #about, 2 do
    local last = about[index] == 'last-generated-id' and tonumber(string.match(about[index + 1], '%d+'))
    if last and (last > 0 and last < now - IDLE_INBOX_MS or is_left) then
      redis.call('DEL', key)
      redis.call('SREM', prefix .. 'inboxes', queue)
    end
  end
end

local unabsorbed = absorb_all()
local rest = resume()
local requeued = take_back_all()
local promoted = promote(limit)
if promoted >= limit then more = 1 end
local expired, unparked = expire(), unpark_lapsed()
local deleted = sweep_stages() + sweep_old()
if trim_trail(limit, ARGV[4] == '0' and -1 or now - ARGV[4]) then more = 1 end
if unabsorbed == 0 then
  for _, queue in ipairs(redis.call('SMEMBERS', prefix .. 'inboxes')) do close_inbox(queue) end
end
if rest > 0 or has_edges_left() then more = 1 end
local reply = { requeued, promoted, expired, deleted, unparked, more, next_due() or 0 }
for _, value in ipairs(dead_lettered) do reply[#reply + 1] = value end
return reply
