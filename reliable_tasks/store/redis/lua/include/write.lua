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

-- Where the record stands, what it counts for, when it expires, whether it is a dead letter.
local function move(r)
  local place, score, expiry, dead = nil, nil, false, false
  if not r.deleted then
    place, score = place_of(r)
    expiry, dead = expiry_of(r.c), is_dead(r.c)
  end
  if r.old_place and r.old_place ~= place then gather('remove', r.old_place, r.id) end
  if place and (r.old_place ~= place or r.old_score ~= score) then
    gather('add', place, score, r.id)
    if r.c[STATE] == 'queued' then
      moves.queued[r.m[QUEUE]] = (moves.queued[r.m[QUEUE]] or 0) + 1
    elseif r.c[STATE] == 'scheduled' then
      moves.scheduled[r.m[QUEUE]] = true
    end
  end
  if place ~= r.old_place then
    if r.old_place then count(r.old_state, r.old_queue, -1) end
    if place then count(r.c[STATE], r.m[QUEUE], 1) end
  end
  if expiry ~= r.old_expiry then
    if expiry then gather('add', 'expires', expiry, r.id)
    elseif r.old_expiry then gather('remove', 'expires', r.id) end
  end
  if dead and not r.old_dead then gather('add', 'dead', r.c[ENDED], r.id)
  elseif r.old_dead and not dead then gather('remove', 'dead', r.id) end
end

local function write_record(r)
  if r.deleted or r.recreated then redis.call('DEL', r.key) end
  if r.deleted then return end
  r.packed_c = cmsgpack.pack(r.c)
  local set, gone = { 'c', r.packed_c }, {}
  if r.x_changed then
    if next(r.x) then
      set[3], set[4] = 'x', cmsgpack.pack(r.x)
    else
      gone[1] = 'x'
    end
  end
  if r.m_changed then
    r.packed_m = cmsgpack.pack(r.m)
    set[#set + 1] = 'm'
    set[#set + 1] = r.packed_m
  end
  for name, value in pairs(r.fields) do
    if value then
      set[#set + 1] = name
      set[#set + 1] = value
    else
      gone[#gone + 1] = name
    end
  end
  redis.call('HSET', r.key, unpack(set))
  if gone[1] then redis.call('HDEL', r.key, unpack(gone)) end
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
  for _, r in ipairs(list) do redis.call('PUBLISH', prefix .. 'changed:' .. r.id, r.c[VERSION]) end
end

local function flush()
  for name, used in pairs(counter_used) do
    if used > 0 then redis.call('INCRBY', prefix .. name, used) end
  end
  counter_base, counter_used = {}, {}
  local commands, list = later, dirty
  later, dirty = {}, {}
  moves = { add = {}, remove = {}, counts = {}, queued = {}, scheduled = {} }
  for _, r in ipairs(list) do
    if not r.superseded then
      move(r)
      write_record(r)
      r.dirty, r.x_changed, r.m_changed, r.recreated = nil, nil, nil, nil
      r.fields = {}
      if not r.deleted then remember_place(r) end
    end
  end
  for _, command in ipairs(commands) do redis.call(unpack(command)) end
  write_moves()
  flush_locks()
  for queue, new in pairs(moves.queued) do wake(queue, new) end
  if list[1] then publish(list) end
end
