-- State transitions: readiness, admission, endings and what follows from them.
-- @include write.lua

local BECAUSE_EVENT = {
  expired = 'expired', ignored = 'ignored', purged = 'purged', rejected = 'rejected',
}

-- The edges of an ended message are followed in bounded steps. {ns}:endings is a list of parts with
-- edges still to be followed; {ns}:ending:<number> has the outcome of a part's parent.
local FOLLOWED_AT_ONCE = 200
local BYTES_LIKE_ONE = 20000 -- so many bytes that an edge hands on count as one edge more
-- {parent, edges, how many of them were followed, result, whether to keep that, what an edge counts
-- for}, in order
local endings, first_ending, last_ending, followed, left_behind = {}, 1, 0, 0, false
local stage_is_open = {} -- name -> whether it is not sealed yet

local function queue_at(r, due, keep_place)
  r.c[DUE] = due
  if due and due > now then
    set_state(r, 'scheduled')
    return
  end
  if not keep_place or r.c[SEQ] == 0 then r.c[SEQ] = next_seq() end
  set_state(r, 'queued')
end

local function event_of(state, reason)
  if state == 'succeeded' then return 'succeeded' end
  return BECAUSE_EVENT[reason] or (state == 'failed' and 'failed' or 'revoked')
end

-- Make one message final and free its locks; its edges are left for `drain`. `keep`: store the
-- result; `failure`: false for none.
local function end_one(r, state, reason, result, keep, failure, detail)
  local c = r.c
  local was = c[STATE]
  c[REASON], c[ENDED], c[DUE] = reason, now, false
  c[RESULT] = keep and result or false
  if state ~= 'failed' then set_payload(r, false) end -- a dead letter keeps what it takes to run
  set_state(r, state)
  if not detail or detail == '' then
    detail = reason ~= '' and '{"reason":"' .. reason .. '"}' or ''
  end
  audit(event_of(state, reason), r, detail)
  if failure or r.x ~= NO_EXTRAS then end_extras(r, was, failure, result, keep) end
end

local function finish(r, state, reason, result, keep, failure, detail)
  end_one(r, state, reason, result or '', keep, failure or false, detail)
  drain()
end

local function drain()
  while first_ending <= last_ending and followed < FOLLOWED_AT_ONCE do
    local ending = endings[first_ending]
    local edge = ending.edges[ending.followed + 1]
    if edge then
      if ending.followed == 0 then load_children(ending.edges, FOLLOWED_AT_ONCE - followed) end
      ending.followed, followed = ending.followed + 1, followed + ending.cost
      follow(ending.parent, edge, ending.result, ending.keep)
    else
      endings[first_ending] = nil
      first_ending = first_ending + 1
    end
  end
end

-- Whether edges are left for resume.lua to follow.
local function has_edges_left() return left_behind end

before_flush = function() leave_all_edges() end

local function startable(r)
  local x = r.x
  if x == NO_EXTRAS then return r.c[STATE] == 'waiting' end
  return r.c[STATE] == 'waiting' and (x.waits or 0) == 0 and not x.parked and not x.mirrors
    and not (x.stage and stage_open(x.stage))
end

-- Everything it waited for has happened: queue it, or schedule it for its time.
local function make_ready(r)
  if r.x.once and not r.x.admitted and not admit(r) then return end
  if r.at_once then return queue_at(r, false) end
  local m = static(r)
  if m[EXPIRES_IN] then r.c[EXPIRES] = now + m[EXPIRES_IN] end
  queue_at(r, m[ETA] or (m[DELAY] > 0 and now + m[DELAY]))
end

-- @rare

-- The rest of an ending, for a message with extras.
local function end_extras(r, was, failure, result, keep)
  local x, once = r.x, r.x.once
  if failure or x.failure then set_extra(r, 'failure', failure or nil) end
  if x.doom then set_extra(r, 'doom', nil) end
  if r.c[STATE] ~= 'failed' then
    forget_inputs(r)
    forget_steps(r)
  end
  if r.x.parked then unpark(r) end
  if once and FREED_BY_END[once[SCOPE]] then
    release(r, once[KEY])
  end
  -- It may have been let go on when the lock was freed: it is the next one's turn.
  if was == 'queued' and once and HELD_WHILE[once[SCOPE]] and not lock_of(once[KEY] .. ':run') then
    unpark_first(once[KEY] .. ':run')
  end
  if r.x.edges then
    last_ending = last_ending + 1
    endings[last_ending] = {
      parent = r, edges = r.x.edges, followed = 0, result = result, keep = keep,
      cost = cost_of(result, failure),
    }
  end
end

-- Admission: the once-lock ----------------------------------------------------------------------

local function mirror(r, parent_id)
  set_extra(r, 'mirrors', parent_id)
  audit('joined', r)
  local parent = load(parent_id)
  if not parent then
    finish(r, 'revoked', 'duplicate')
  elseif FINAL[parent.c[STATE]] then
    local result = parent.c[RESULT]
    follow(parent, { r.id, 'mirror', -1 }, result or '', result and true or false)
    drain()
  else
    local edges = parent.x.edges or {}
    edges[#edges + 1] = { r.id, 'mirror', -1 }
    set_extra(parent, 'edges', edges)
  end
end

-- Take the once-lock for a stored message; else park it, or make it a mirror.
local function admit(r)
  local once, holder = r.x.once, r.id
  if once and HELD_UNTIL[once[SCOPE]] and not take_lock(once[KEY], r, once[TIMEOUT]) then
    holder = lend_lock(lock_entry(once[KEY]).is.owner, r)
  end
  if holder == r.id then
    if once then set_extra(r, 'admitted', true) end
    return true
  end
  set_state(r, 'waiting')
  if not static(r)[JOINS_DUPLICATE] and (once[ON_CONFLICT] == 'reschedule' or once[ON_CONFLICT] == 'rerun') then
    park(r, once[KEY])
  else
    mirror(r, holder)
  end
  return false
end

local function stage_open(name)
  if stage_is_open[name] == nil then
    stage_is_open[name] = redis.call('ZSCORE', prefix .. 'stages', name) and true or false
  end
  return stage_is_open[name]
end

local function on_free(r, name)
  if string.sub(name, -4) == ':run' then
    queue_at(r, false, true)
  elseif admit(r) and startable(r) then
    make_ready(r)
  end
end

-- What an ending does to a child ------------------------------------------------------------------

local function put_input(child, slot, parent, ok, value)
  set_extra(child, 'inputs', (child.x.inputs or 0) + #value)
  defer('HSET', prefix .. 'in:' .. child.id, slot .. ':' .. parent.id, (ok and '1' or '0') .. value)
end

-- It waits, or had ended only because of its parents.
local function open_to_parents(child)
  local c = child.c
  return c[STATE] == 'waiting' or c[REASON] == 'parent' or c[REASON] == 'mirror'
end

-- A parent did not succeed: neither does the child.
local function break_child(child, parent, reason)
  if open_to_parents(child) then
    local broken = child.x.broken or {}
    broken[parent.id] = true
    set_extra(child, 'broken', broken)
  end
  if child.c[STATE] == 'waiting' then
    end_one(child, 'failed', reason, '', false, parent.x.failure or false)
  end
end

local function count_down(child) set_extra(child, 'waits', (child.x.waits or 0) - 1) end

local function follow_errback(child, parent, slot, failed)
  if child.c[STATE] ~= 'waiting' then return end
  set_extra(child, 'waits', failed and 0 or child.x.waits - 1)
  if failed then
    put_input(child, slot, parent, false, parent.x.failure or '')
    if startable(child) then make_ready(child) end -- it may wait for its once-key as well
  elseif child.x.waits == 0 then
    end_one(child, 'revoked', 'not needed', '', false, false)
  end
end

-- What it counts for to hand on these values once.
local function cost_of(result, failure)
  return 1 + math.floor((#result + #(failure or '')) / BYTES_LIKE_ONE)
end

-- Read the children of the first edges by one command.
local function load_children(edges, most)
  local ids = {}
  for index = 1, math.min(#edges, most) do
    local id = edges[index][CHILD]
    if records[id] == nil then ids[#ids + 1] = id end
  end
  reserve = math.max(reserve, #ids)
  if ids[2] then load_all(ids) end
end

-- One edge of a parent that has ended.
local function follow(parent, edge, value, keep)
  local child, on = load(edge[CHILD]), edge[ON]
  if not child then return end
  local ok = parent.c[STATE] == 'succeeded'
  if on == 'mirror' then
    if child.c[STATE] == 'waiting' and child.x.mirrors == parent.id then
      if ok then
        end_one(child, 'succeeded', '', value, keep, false)
      else
        break_child(child, parent, 'mirror')
      end
    end
  elseif (child.x.waits or 0) <= 0 then
    return -- it has started, or is a later one of the same id, which waits for nobody
  elseif on == 'failure' then
    follow_errback(child, parent, edge[SLOT], not ok and parent.c[REASON] ~= 'ignored')
  elseif not ok then
    break_child(child, parent, 'parent')
  elseif open_to_parents(child) then
    if edge[SLOT] >= 0 then put_input(child, edge[SLOT], parent, true, value) end
    count_down(child)
    if startable(child) then make_ready(child) end
  end
end

-- What is too much for one script --------------------------------------------------------------

-- What is left of an ending goes to the list, in parts of what is followed at once.
local function leave_edges(ending)
  local parent, edges, parts = ending.parent, ending.edges, 0
  local number, last = next_seq(), #edges
  local most = math.ceil(FOLLOWED_AT_ONCE / ending.cost)
  for first = ending.followed + 1, last, most do
    local part = { unpack(edges, first, math.min(first + most - 1, last)) }
    defer('RPUSH', prefix .. 'endings', number .. ' ' .. cmsgpack.pack(part))
    parts = parts + 1
  end
  if parts == 0 then return end
  local facts = cmsgpack.pack({ parent.id, parent.c[STATE], parent.c[REASON], ending.keep })
  defer('HSET', prefix .. 'ending:' .. number, 'facts', facts, 'result', ending.result,
    'failure', parent.x.failure or '', 'parts', parts)
  if parent.c[STATE] == 'failed' and not parent.deleted and parent.c[VERSION] then
    set_extra(parent, 'ending', number)
  end
end

local function leave_all_edges()
  if first_ending > last_ending then return end
  left_behind = true
  for index = first_ending, last_ending do leave_edges(endings[index]) end
  endings, first_ending, last_ending = {}, 1, 0
end

-- It is to run again: what had not been ended with it is not going to be.
local function take_back_ending(r)
  if r.x.ending then
    defer('DEL', prefix .. 'ending:' .. r.x.ending)
    set_extra(r, 'ending', nil)
  end
end

-- The parent of a part, as it was when it ended; nil where it is to run again.
local function parent_of(number)
  local found = redis.call('HMGET', prefix .. 'ending:' .. number, 'facts', 'result', 'failure', 'parts')
  local facts, result, failure, parts = unpack(found, 1, 4)
  if not facts then return nil end
  local id, state, reason, keep = unpack(cmsgpack.unpack(facts), 1, 4)
  return {
    id = id, c = { [STATE] = state, [REASON] = reason },
    x = { failure = failure ~= '' and failure or nil },
    result = result, keep = keep, parts = tonumber(parts), cost = cost_of(result, failure),
  }
end

-- Go on with edges that were left. Returns how many parts there still are.
local function resume()
  local key, parents, taken = prefix .. 'endings', {}, 0
  while followed < FOLLOWED_AT_ONCE do
    local packed = redis.call('LINDEX', key, taken)
    if not packed then break end
    local space = string.find(packed, ' ', 1, true)
    local number = string.sub(packed, 1, space - 1)
    if parents[number] == nil then parents[number] = parent_of(number) or false end
    local parent = parents[number]
    taken = taken + 1
    if parent then
      local part = cmsgpack.unpack(string.sub(packed, space + 1))
      followed = followed + #part * parent.cost
      load_children(part, #part)
      for _, edge in ipairs(part) do follow(parent, edge, parent.result, parent.keep) end
      parent.parts = parent.parts - 1
      defer('HINCRBY', prefix .. 'ending:' .. number, 'parts', -1)
      if parent.parts == 0 then defer('DEL', prefix .. 'ending:' .. number) end
    end
  end
  if taken > 0 then defer('LTRIM', key, taken, -1) end
  drain()
  flush()
  return redis.call('LLEN', key)
end

-- @end
