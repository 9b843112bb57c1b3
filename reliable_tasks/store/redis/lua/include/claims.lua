-- Claims: taking them, and the end of an attempt.
-- @include transitions.lua

local INPUTS_ALONG = 1048576 -- with more bytes they are fetched by themselves, a reply is bounded

-- Read what lies apart of a message that is to be claimed. Returns how many bytes it hands over.
local function weigh(r)
  local payload, inputs = '', r.x.inputs or 0
  if is_apart(r) then
    r.handed = redis.call('GET', prefix .. 'p:' .. r.id)
    payload = r.handed or ''
  end
  return #payload + (inputs > INPUTS_ALONG and 0 or inputs)
end

-- Put into `reply`, from `at` on, what a worker gets: id, string, payload if it lies apart, inputs if
-- there are any: if they are large, how many bytes they have.
local function fill_in(reply, at, r)
  reply[at], reply[at + 1], reply[at + 2], reply[at + 3] = r.id, r.packed, false, false
  if is_apart(r) then reply[at + 2] = r.handed or redis.call('GET', prefix .. 'p:' .. r.id) end
  local size = r.x.inputs
  if size then
    reply[at + 3] = size > INPUTS_ALONG and size or redis.call('HGETALL', prefix .. 'in:' .. r.id)
  end
end

local function claim(r, session, worker, fence)
  local c = r.c
  if c[EXPIRES] and c[EXPIRES] <= now then
    finish(r, 'revoked', 'expired')
    return false
  end
  if r.x ~= NO_EXTRAS and not claim_extras(r) then return false end
  c[FENCE], c[SESSION], c[WORKER] = fence, session, worker
  c[DELIVERY], c[STARTED], c[FIRST] = c[DELIVERY] + 1, now, c[FIRST] or now
  set_state(r, 'running')
  audit('started', r)
  local once = r.x.once
  if once and FREED_BY_CLAIM[once[SCOPE]] then free_lock(once[KEY], r.id) end
  return true
end

-- Claim one that stands in the queue, from its string. Returns its record; nil where it cannot be
-- claimed. It leaves the queue in any case, which the caller sees to.
local function claim_packed(id, key, packed, session, worker, fence, queue)
  local r = records[id]
  if r == nil then r = packed and remember(id, key, packed) end
  local last = damaged[#damaged]
  if not r and last and last.id == id then -- it was here, whatever it says
    last.c = { [STATE] = 'queued', [QUEUE] = queue }
  end
  if not r or r.c[STATE] ~= 'queued' then return nil end
  r.popped = true
  return claim(r, session, worker, fence) and r or nil
end

-- The attempt is over, however it ended.
local function end_attempt(r)
  local once = r.x.once
  r.c[SESSION] = false
  touch(r)
  if once and HELD_WHILE[once[SCOPE]] then free_lock(once[KEY] .. ':run', r.id) end
end

-- @rare

-- What hangs on the extras of a message that is to be claimed. Returns whether it may be.
local function claim_extras(r)
  local once = r.x.once
  if once and HELD_WHILE[once[SCOPE]] and not take_lock(once[KEY] .. ':run', r, 0) then
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

-- Let what is due go on, at most `limit` messages. Returns how many there were.
local function promote(limit)
  local ids = redis.call('ZRANGEBYSCORE', prefix .. 'scheduled', '-inf', now, 'LIMIT', 0, limit)
  if not ids[1] then return 0 end
  load_all(ids)
  reserve = #ids
  for _, id in ipairs(ids) do
    local r = records[id]
    if r then
      queue_at(r, r.c[DUE])
      audit('promoted', r)
    else
      defer('ZREM', prefix .. 'scheduled', id)
    end
  end
  flush(true)
  return #ids
end

local function uncount(r)
  local c = r.c
  c[DELIVERY] = c[DELIVERY] - 1
  if c[DELIVERY] == 0 and c[ATTEMPT] == 1 then c[FIRST] = false end
end

-- Back to the queue, taking the once-key again where the claim had freed it.
local function queue_again(r, due, keep_place)
  local once = r.x.once
  if once and FREED_BY_CLAIM[once[SCOPE]] then
    take_lock(once[KEY], r, once[TIMEOUT]) -- a conflict leaves this one without
  end
  queue_at(r, due, keep_place)
end

-- The claims that a session holds, in the order in which it got them.
local function claims_of(session, limit)
  return redis.call('ZRANGE', prefix .. 'claims:' .. session, 0, limit - 1)
end

-- @end
