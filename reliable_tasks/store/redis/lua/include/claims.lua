-- Claims: taking them, and the end of an attempt.
-- @include endings.lua

-- Add to `reply` what a worker gets: id, record, payload if it lies apart, inputs if there are any.
local function reply_claim(reply, r)
  local size, id = #reply, r.id
  reply[size + 1], reply[size + 2], reply[size + 3], reply[size + 4] = id, r.packed, false, false
  if is_apart(r) then reply[size + 3] = redis.call('GET', prefix .. 'p:' .. id) end
  if r.x.inputs then reply[size + 4] = redis.call('HGETALL', prefix .. 'in:' .. id) end
end

local function claim(r, session, worker)
  local c = r.c
  if c[EXPIRES] and c[EXPIRES] <= now then
    finish(r, 'revoked', 'expired')
    return false
  end
  if r.x ~= NO_EXTRAS and not claim_extras(r) then return false end
  c[FENCE], c[SESSION], c[WORKER] = next_number('fence'), session, worker
  c[DELIVERY], c[STARTED], c[FIRST] = c[DELIVERY] + 1, now, c[FIRST] or now
  set_state(r, 'running')
  audit('started', r)
  local once = r.x.once
  if once and FREED_BY_CLAIM[once[SCOPE]] then free(once[KEY], r.id) end
  return true
end

-- Claim at most `limit` of a queue for a session; adds the records to `claimed`. Returns how many of
-- those that stand first in the queue have left it: all that it looked at, claimed, ended or parked.
local function claim_from(queue, session, worker, limit, claimed)
  local key, seen = prefix .. 'q:' .. queue, 0
  local looked_at = limit + 1000 -- bounds what one call spends on the expired and the parked
  while #claimed < limit and seen < looked_at do
    local ids = redis.call('ZRANGE', key, seen, seen + limit - #claimed - 1)
    if not ids[1] then break end
    load_all(ids)
    reserve = #ids
    for _, id in ipairs(ids) do
      local r = records[id]
      if r and r.c[STATE] == 'queued' then
        r.popped = true
        if claim(r, session, worker) then claimed[#claimed + 1] = r end
      end
    end
    seen = seen + #ids
  end
  return seen
end

-- The attempt is over, however it ended.
local function attempt_over(r)
  local once = r.x.once
  r.c[SESSION] = false
  touch(r)
  if once and HELD_WHILE[once[SCOPE]] then free(once[KEY] .. ':run', r.id) end
end

local function promote(limit)
  local ids = redis.call('ZRANGEBYSCORE', prefix .. 'scheduled', '-inf', now, 'LIMIT', 0, limit)
  if ids[1] then promote_these(ids) end
  return #ids
end

-- The earliest instant at which something scheduled is due; false = nothing is.
local function next_due()
  return tonumber(redis.call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')[2]) or false
end

-- @rare

-- What hangs on the extras of a message that is to be claimed. Returns whether it may be.
local function claim_extras(r)
  local once = r.x.once
  if once and HELD_WHILE[once[SCOPE]] and not take(once[KEY] .. ':run', r, 0) then
    set_state(r, 'waiting')
    park(r, once[KEY] .. ':run')
    return false
  end
  if r.x.progress then
    set_extra(r, 'progress', nil)
    set_extra(r, 'meta', nil)
  end
  return true
end

local function promote_these(ids)
  load_all(ids)
  reserve = #ids
  for _, id in ipairs(ids) do
    local r = records[id]
    if r then
      queue_at(r, r.c[DUE])
      audit('promoted', r)
    else
      put_off('ZREM', prefix .. 'scheduled', id)
    end
  end
  flush()
end

local function uncount(r)
  local c = r.c
  c[DELIVERY] = c[DELIVERY] - 1
  if c[DELIVERY] == 0 and c[ATTEMPT] == 1 then c[FIRST] = false end
end

-- Back to the queue, taking the once-key again where the claim had freed it.
local function again(r, due, keep_place)
  local once = r.x.once
  if once and FREED_BY_CLAIM[once[SCOPE]] then
    take(once[KEY], r, once[TIMEOUT]) -- a conflict leaves this one without
  end
  queue_at(r, due, keep_place)
end

-- The claims that a session holds, in the order in which it got them.
local function held_by(session, limit)
  return redis.call('ZRANGE', prefix .. 'claims:' .. session, 0, limit - 1)
end

-- @end
