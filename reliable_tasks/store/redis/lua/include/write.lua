-- Write what a script has decided: what `dirty` and `later` hold.
-- @include once.lua
-- @include unreadable.lua

local before_flush = false -- what else is to be decided before anything is written
local ARRAY = '\147'

-- What `flush` gathers: by key {score, id, ...} to add and {id, ...} to remove; by queue and state
-- by how much a count changes; which queues have something new, and which something scheduled.
local moves

local places = { queued = {}, running = {} } -- names of sorted sets, made once

-- The sorted set in which a record stands: each stands in exactly one.
local function place_of(state, queue, session)
  local known = places[state]
  if not known then
    if FINAL[state] then return 'ended:' .. state end
    return state
  end
  local name = state == 'queued' and queue or session
  local place = known[name]
  if not place then
    place = (state == 'queued' and 'q:' or 'claims:') .. name
    known[name] = place
  end
  return place
end

-- Its score there.
local function score_of(r, state)
  local c = r.c
  if state == 'succeeded' or state == 'revoked' then
    local ttl = c[RESULT_TTL]
    return ttl > 0 and c[ENDED] + ttl or '+inf'
  end
  if state == 'running' then return c[FENCE] end
  if state == 'queued' then return (r.priority or static(r)[PRIORITY]) * PLACE_IN_QUEUE + c[SEQ] end
  if state == 'scheduled' then return c[DUE] end
  if state == 'waiting' then return c[ENQUEUED] end
  local ttl = static(r)[FAILURE_TTL]
  return ttl > 0 and c[ENDED] + ttl or '+inf'
end

local function list_of(lists, key)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  return list
end

local function in_parts(command, key, values)
  for first = 1, #values, BY_ONE_CALL do
    redis.call(command, key, unpack(values, first, math.min(first + BY_ONE_CALL - 1, #values)))
  end
end

local function count(state, queue, by)
  if FINAL[state] then return end
  local by_state = list_of(moves.counts, queue)
  by_state[state] = (by_state[state] or 0) + by
end

-- Note where the record stands now, and what it counts for.
local function move(r)
  local c, id, old_state = r.c, r.id, r.old_state
  local state = not r.deleted and c[STATE]
  local old_place = old_state and place_of(old_state, r.old_queue, r.old_session)
  local place = state and place_of(state, c[QUEUE], c[SESSION])
  if place ~= old_place then
    if old_place then
      if not r.popped then
        local list = list_of(moves.remove, old_place)
        list[#list + 1] = id
      end
      count(old_state, r.old_queue, -1)
    end
    if place then count(state, c[QUEUE], 1) end
  end
  if place and r.moved then
    local list = list_of(moves.add, place)
    list[#list + 1] = score_of(r, state)
    list[#list + 1] = id
    if state == 'queued' then
      moves.queued[c[QUEUE]] = true
    elseif state == 'scheduled' then
      moves.scheduled[c[QUEUE]] = true
    end
  end
  if c[EXPIRES] or r.old_expires or state == 'failed' or old_state == 'failed' then
    move_aside(r, state)
  end
end

-- The record's string, as layout.lua has it.
local function string_of(r)
  local c, x, rest = r.c, r.x, r.rest
  c[EXTRAS] = x ~= NO_EXTRAS and next(x) and x or false
  if c[STATE] ~= 'queued' or c[EXTRAS] or c[EXPIRES] or is_apart(r) then
    return ARRAY .. cmsgpack.pack(c) .. rest
  end
  local enqueued, seq, size = c[ENQUEUED], c[SEQ], c[SIZE_OF_P]
  c[ENQUEUED], c[SEQ], c[SIZE_OF_P] = 0, 0, 0 -- they stand behind the kind, or are seen
  local kind = cmsgpack.pack(c) .. string.sub(rest, 1, -size - 1)
  c[ENQUEUED], c[SEQ], c[SIZE_OF_P] = enqueued, seq, size
  return struct.pack('>BI4I8', IS_QUEUED, QUEUED_HEAD + #kind, c[RESULT_TTL]) .. kind
    .. struct.pack('>I8I8', enqueued, seq) .. string.sub(rest, -size)
end

-- Write the records, and what was put off until then.
local function write_records(list)
  local pairs_, gone = {}, {}
  for _, r in ipairs(list) do
    if not r.superseded then
      move(r)
      if r.deleted then
        gone[#gone + 1] = r.key
      else
        r.packed = string_of(r)
        local size = #pairs_
        pairs_[size + 1], pairs_[size + 2] = r.key, r.packed
      end
    end
  end
  -- These first: one that went may have been stored anew in the same batch.
  for _, key in ipairs(gone) do redis.call('DEL', key) end
  for first = 1, #pairs_, BY_ONE_CALL do
    redis.call('MSET', unpack(pairs_, first, math.min(first + BY_ONE_CALL - 1, #pairs_)))
  end
end

local function write_moves()
  for place, ids in pairs(moves.remove) do in_parts('ZREM', prefix .. place, ids) end
  local scheduled = moves.add.scheduled
  local first = scheduled and redis.call('ZRANGE', prefix .. 'scheduled', 0, 0)[1]
  for place, pairs_ in pairs(moves.add) do in_parts('ZADD', prefix .. place, pairs_) end
  for queue, by_state in pairs(moves.counts) do
    for state, by in pairs(by_state) do count_in(state, queue, by) end
  end
  if scheduled then wake_watcher(first) end
end

-- Write what was gathered. With `more` of the same step to come, the trail is not trimmed yet: by how
-- much it is depends on all that the step adds.
local function flush(more)
  if damaged[1] then dead_letter_damaged() end
  if before_flush then before_flush() end
  if unwritten[1] or counted[1] then write_trail() end
  if written_rows > 0 and not more then trim_if_it_is_much() end
  if not (dirty[1] or later[1] or next(lock_table)) then return end
  local commands, list = later, dirty
  later, dirty, records = {}, {}, {} -- what is needed again is read again
  moves = { add = {}, remove = {}, counts = {}, queued = {}, scheduled = {} }
  write_records(list)
  for _, command in ipairs(commands) do redis.call(unpack(command)) end
  write_moves()
  if next(lock_table) or next(parking) then flush_locks() end
  for queue in pairs(moves.queued) do wake(queue) end
  if list[1] then notify_all(list) end
end

-- Tell those who wait for these messages.
local function notify_all(list)
  local watched = is_watched()
  if not watched and not is_awaited() then return end
  for _, r in ipairs(list) do
    local state = r.c[STATE]
    if watched or FINAL[state] then publish(r.id, state, FINAL[state] and not r.deleted and r.packed) end
  end
end

-- @rare

-- Expiry and dead letters have sets of their own.
local function move_aside(r, state)
  local was, is = r.old_state and expiry_of(r.old_state, r.old_expires), false
  if state then is = expiry_of(state, r.c[EXPIRES]) end
  local add, remove = moves.add, moves.remove
  if is and is ~= was then
    local list = list_of(add, 'expires')
    list[#list + 1], list[#list + 2] = is, r.id
  end
  if was and not is then table.insert(list_of(remove, 'expires'), r.id) end
  local was_dead, dead = is_dead(r.old_state, r.old_reason), is_dead(state, r.c[REASON])
  if dead then
    local list = list_of(add, 'dead')
    list[#list + 1], list[#list + 2] = r.c[ENDED], r.id
  end
  if was_dead and not dead then table.insert(list_of(remove, 'dead'), r.id) end
end

-- Something is due earlier than the one who watches for it knows: let another one look.
local function wake_watcher(first_before)
  if redis.call('ZRANGE', prefix .. 'scheduled', 0, 0)[1] == first_before then return end
  redis.call('DEL', prefix .. 'watcher')
  for queue in pairs(moves.scheduled) do wake(queue) end
end

-- @end
