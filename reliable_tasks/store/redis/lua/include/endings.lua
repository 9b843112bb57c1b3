-- How messages move: readiness, admission, endings and what follows from them.
-- @include write.lua

local BECAUSE_EVENT = {
  expired = 'expired', ignored = 'ignored', purged = 'purged', rejected = 'rejected',
}

-- Edges of the ended that are still to follow, in order.
local endings, first_ending, last_ending = {}, 1, 0
local stage_is_open = {} -- name -> whether it is not sealed yet
local drain, follow, ready

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

function drain()
  while first_ending <= last_ending do
    local ending = endings[first_ending]
    endings[first_ending] = nil
    first_ending = first_ending + 1
    follow(ending[1], ending[2], ending[3], ending[4])
  end
end

local function startable(r)
  local x = r.x
  if x == NO_EXTRAS then return r.c[STATE] == 'waiting' end
  return r.c[STATE] == 'waiting' and (x.waits or 0) == 0 and not x.parked and not x.mirrors
    and not (x.stage and stage_open(x.stage))
end

-- Everything it waited for has happened: queue it, or schedule it for its time.
function ready(r)
  if r.x.once and not r.x.admitted and not admit(r) then return end
  if r.at_once then return queue_at(r, false) end
  local m = static(r)
  if m[EXPIRES_IN] then r.c[EXPIRES] = now + m[EXPIRES_IN] end
  queue_at(r, m[ETA] or (m[DELAY] > 0 and now + m[DELAY]))
end

-- @rare

-- What hangs on the extras of a message that ends.
local function end_extras(r, was, failure, result, keep)
  local x, once = r.x, r.x.once
  if failure or x.failure then set_extra(r, 'failure', failure or nil) end
  if x.doom then set_extra(r, 'doom', nil) end
  if r.c[STATE] ~= 'failed' then
    forget_inputs(r)
    forget_steps(r)
  end
  if r.x.parked then unpark(r) end
  if once and HELD_UNTIL[once[SCOPE]] and once[SCOPE] ~= 'until_expired' then
    let_go(r, once[KEY])
  end
  -- It may have been let go on when the lock was freed: it is the next one's turn.
  if was == 'queued' and once and HELD_WHILE[once[SCOPE]] and not lock_of(once[KEY] .. ':run') then
    let_one_go_on(once[KEY] .. ':run')
  end
  for _, edge in ipairs(r.x.edges or NO_EXTRAS) do
    last_ending = last_ending + 1
    endings[last_ending] = { r, edge, result, keep }
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
  if once and HELD_UNTIL[once[SCOPE]] and not take(once[KEY], r, once[TIMEOUT]) then
    holder = lend(lock_entry(once[KEY]).is.owner, r)
  end
  if holder == r.id then
    if once then set_extra(r, 'admitted', true) end
    return true
  end
  set_state(r, 'waiting')
  if not static(r)[JOINS] and (once[POLICY] == 'reschedule' or once[POLICY] == 'rerun') then
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

function on_free(r, name)
  if string.sub(name, -4) == ':run' then
    queue_at(r, false, true)
  elseif admit(r) and startable(r) then
    ready(r)
  end
end

-- What an ending does to a child ------------------------------------------------------------------

local function put_input(child, slot, parent, ok, value)
  set_extra(child, 'inputs', true)
  put_off('HSET', prefix .. 'in:' .. child.id, slot .. ':' .. parent.id, (ok and '1' or '0') .. value)
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
    if startable(child) then ready(child) end -- it may wait for its once-key as well
  elseif child.x.waits == 0 then
    end_one(child, 'revoked', 'not needed', '', false, false)
  end
end

-- One edge of a parent that has ended.
function follow(parent, edge, value, keep)
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
    if startable(child) then ready(child) end
  end
end

-- @end
