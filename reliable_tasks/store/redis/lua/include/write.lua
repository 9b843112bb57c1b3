-- The end of every script that changes something: write what `records` and `later` hold.
-- @include once.lua

local WAKE_MS = 5000 -- how long a marker lies on a list that nobody blocks on
local BY_ONE_CALL = 2000 -- members in one command; Lua's stack holds some 8000 values

local moves -- what `flush` gathers: {add = {key -> {score, id, ...}}, remove = {key -> {id, ...}}}

local function gather(kind, key, first, second)
  local list = moves[kind][key]
  if not list then
    list = {}
    moves[kind][key] = list
  end
  list[#list + 1] = first
  if second then list[#list + 1] = second end
end

local function in_parts(command, key, values)
  for first = 1, #values, BY_ONE_CALL do
    redis.call(command, key, unpack(values, first, math.min(first + BY_ONE_CALL - 1, #values)))
  end
end

local function count(state, queue, by)
  if FINAL[state] then return end
  local name = state .. ':' .. queue
  moves.counts[name] = (moves.counts[name] or 0) + by
end

-- Expiry and dead letters have sets of their own.
local function move_aside(r, state)
  local was, is = r.old_state and expiry_of(r.old_state, r.old_expires), false
  if state then is = expiry_of(state, r.c[EXPIRES]) end
  if is and is ~= was then gather('add', 'expires', is, r.id) end
  if was and not is then gather('remove', 'expires', r.id) end
  local was_dead, dead = is_dead(r.old_state, r.old_reason), is_dead(state, r.c[REASON])
  if dead then gather('add', 'dead', r.c[ENDED], r.id) end
  if was_dead and not dead then gather('remove', 'dead', r.id) end
end

-- Note where the record stands now, and what it counts for.
local function move(r)
  local c, id, old_state = r.c, r.id, r.old_state
  local state = not r.deleted and c[STATE]
  local old_place = old_state and place_of(old_state, r.old_queue, r.old_session)
  local place = state and place_of(state, c[QUEUE], c[SESSION])
  if place ~= old_place then
    if old_place then
      gather('remove', old_place, id)
      count(old_state, r.old_queue, -1)
    end
    if place then count(state, c[QUEUE], 1) end
  end
  if place and r.moved then
    gather('add', place, score_of(r), id)
    if state == 'queued' then
      moves.queued[c[QUEUE]] = (moves.queued[c[QUEUE]] or 0) + 1
    elseif state == 'scheduled' then
      moves.scheduled[c[QUEUE]] = true
    end
  end
  if c[EXPIRES] or r.old_expires or state == 'failed' or old_state == 'failed' then
    move_aside(r, state)
  end
end

local function write_fields(r)
  local set, gone = { 'c', r.packed_c }, {}
  if r.x_changed then
    r.packed_x = next(r.x) and cmsgpack.pack(r.x) or false
    if r.packed_x then
      set[3], set[4] = 'x', r.packed_x
    else
      gone[1] = 'x'
    end
  end
  for name, value in pairs(r.fields or NO_EXTRAS) do
    if value then
      set[#set + 1] = name
      set[#set + 1] = value
    else
      gone[#gone + 1] = name
    end
  end
  redis.call('HSET', r.key, unpack(set))
  if gone[1] and not r.recreated then redis.call('HDEL', r.key, unpack(gone)) end
end

local function write_record(r)
  if r.deleted or r.recreated then redis.call('DEL', r.key) end
  if r.deleted then return end
  r.packed_c = cmsgpack.pack(r.c)
  if r.x_changed or r.fields then
    write_fields(r)
  else
    redis.call('HSET', r.key, 'c', r.packed_c)
  end
end

-- Wake as many of those who block for the queue as there is new work, if any do.
local function wake(queue, new)
  local waiting = redis.call('ZCOUNT', prefix .. 'idle:' .. queue, '(' .. now, '+inf')
  if waiting == 0 then return end
  local list = prefix .. 'wake:' .. queue
  local there = redis.call('ZCARD', prefix .. 'q:' .. queue)
  local markers = math.min(new, waiting, there, 100) - redis.call('LLEN', list)
  if markers <= 0 then return end
  local values = {}
  for index = 1, markers do values[index] = '1' end
  redis.call('RPUSH', list, unpack(values))
  redis.call('PEXPIRE', list, WAKE_MS)
end

-- Wake one waiter, that one.
local function nudge(waiter)
  local list = prefix .. 'nudge:' .. waiter
  if redis.call('LLEN', list) == 0 then redis.call('RPUSH', list, '1') end
  redis.call('PEXPIRE', list, WAKE_MS)
end

-- Wake one of those who block for the queue. Returns whether there is one.
local function nudge_one(queue)
  local waiter = redis.call('ZRANGE', prefix .. 'idle:' .. queue, -1, -1)[1]
  if waiter then nudge(waiter) end
  return waiter
end

-- Something is due earlier than the one who watches for it knows: let that one look again.
local function tell_watcher(first_before)
  if redis.call('ZRANGE', prefix .. 'scheduled', 0, 0)[1] == first_before then return end
  local watcher = redis.call('GET', prefix .. 'watcher')
  if watcher then
    nudge(watcher)
  else
    for queue in pairs(moves.scheduled) do
      if nudge_one(queue) then return end
    end
  end
end

local function write_moves()
  for key, ids in pairs(moves.remove) do in_parts('ZREM', prefix .. key, ids) end
  local scheduled = moves.add.scheduled
  local first = scheduled and redis.call('ZRANGE', prefix .. 'scheduled', 0, 0)[1]
  for key, pairs_ in pairs(moves.add) do in_parts('ZADD', prefix .. key, pairs_) end
  for name, by in pairs(moves.counts) do
    if by ~= 0 and redis.call('HINCRBY', prefix .. 'counts', name, by) == 0 then
      redis.call('HDEL', prefix .. 'counts', name)
    end
  end
  if scheduled then tell_watcher(first) end
end

-- Tell those who wait for these messages, if anybody waits for any.
local function publish(list)
  if redis.call('EXISTS', prefix .. 'watched') == 0 then return end
  for _, r in ipairs(list) do redis.call('PUBLISH', prefix .. 'changed:' .. r.id, r.c[STATE]) end
end

local function flush()
  for name, used in pairs(counter_used) do
    if used > 0 then redis.call('INCRBY', prefix .. name, used) end
  end
  counter_base, counter_used = {}, {}
  local commands, list = later, dirty
  later, dirty, records = {}, {}, {} -- what is needed again is read again
  moves = { add = {}, remove = {}, counts = {}, queued = {}, scheduled = {} }
  for _, r in ipairs(list) do
    if not r.superseded then
      move(r)
      write_record(r)
    end
  end
  for _, command in ipairs(commands) do redis.call(unpack(command)) end
  write_moves()
  flush_locks()
  for queue, new in pairs(moves.queued) do wake(queue, new) end
  if list[1] then publish(list) end
end
