-- Claims: taking them, and the end of an attempt.
-- @include endings.lua

-- What a worker gets: {id, c, m, payload, headers, doom, x, inputs}, the last four false if none.
local function claim_reply(r)
  local inputs = r.x.inputs and redis.call('HGETALL', prefix .. 'in:' .. r.id) or false
  local f = r.hot or redis.call('HMGET', r.key, 'c', 'm', 'x', 'p', 'h', 'd')
  local x = f[3]
  if r.packed_x ~= nil then x = r.packed_x end
  return { r.id, r.packed_c or f[1], r.packed_m, f[4], f[5], f[6], x, inputs }
end

local function load_queued(id)
  local r = records[id]
  if r ~= nil then return r end
  local key = prefix .. 'm:' .. id
  local got = redis.pcall('HMGET', key, 'c', 'm', 'x', 'p', 'h', 'd')
  if got.err or not got[1] then
    records[id] = false
    return false
  end
  r = adopt(id, key, got[1], got[2], got[3])
  r.hot = got
  return r
end

local function claim(r, session, worker)
  local c, once = r.c, r.x.once
  if c[EXPIRES] and c[EXPIRES] <= now then
    finish(r, 'revoked', 'expired')
    return false
  end
  if once and HELD_WHILE[once[SCOPE]] and not take(once[KEY] .. ':run', r, 0) then
    set_state(r, 'waiting')
    park(r, once[KEY] .. ':run')
    return false
  end
  c[FENCE], c[SESSION], c[WORKER] = next_number('fence'), session, worker
  c[DELIVERY], c[STARTED], c[FIRST] = c[DELIVERY] + 1, now, c[FIRST] or now
  if r.x.progress then
    set_field(r, 's', false)
    set_field(r, 'g', false)
    set_extra(r, 'progress', nil)
  end
  set_state(r, 'running')
  audit('started', r)
  if once and FREED_BY_CLAIM[once[SCOPE]] then free(once[KEY], r.id) end
  return true
end

-- Claim at most `limit` of a queue for a session; adds the records to `claimed`.
local function claim_from(queue, session, worker, limit, claimed)
  local key, offset = prefix .. 'q:' .. queue, 0
  local looked_at = limit + 1000 -- bounds what one call spends on the expired and the parked
  while #claimed < limit and offset < looked_at do
    local ids = redis.call('ZRANGE', key, offset, offset + limit - #claimed - 1)
    if not ids[1] then return end
    for _, id in ipairs(ids) do
      local r = load_queued(id)
      if not r then
        put_off('ZREM', key, id)
      elseif r.c[STATE] == 'queued' and claim(r, session, worker) then
        claimed[#claimed + 1] = r
      end
    end
    offset = offset + #ids
  end
end

-- The attempt is over, however it ended.
local function attempt_over(r)
  local once = r.x.once
  r.c[SESSION] = false
  touch(r)
  if once and HELD_WHILE[once[SCOPE]] then free(once[KEY] .. ':run', r.id) end
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

local function promote(limit)
  local ids = redis.call('ZRANGEBYSCORE', prefix .. 'scheduled', '-inf', now, 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    local r = load(id)
    if r then
      queue_at(r, r.c[DUE])
      audit('promoted', r)
    else
      put_off('ZREM', prefix .. 'scheduled', id)
    end
  end
  if ids[1] then flush() end
  return #ids
end

-- The earliest instant at which something scheduled is due; false = nothing is.
local function next_due()
  return tonumber(redis.call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')[2]) or false
end

-- The claims that a session holds, in the order in which it got them.
local function held_by(session, limit)
  return redis.call('ZRANGE', prefix .. 'claims:' .. session, 0, limit - 1)
end
