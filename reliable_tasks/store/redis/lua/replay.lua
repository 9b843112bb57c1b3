-- Queue dead letters again as if new, and revive the dependants they had ended.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, ids ...
-- Returns {done, holder or '', ...}.
-- @include inbox.lua
-- @include transitions.lua

if absorb_all() > 0 then return MORE end

local function revive_child(child, parent, todo)
  local broken = child.x.broken
  broken[parent] = nil
  set_extra(child, 'broken', next(broken) and broken or nil)
  if child.c[STATE] ~= 'failed' or next(broken) then return end
  take_back_ending(child)
  child.c[REASON], child.c[ENDED] = '', false
  set_extra(child, 'failure', nil)
  set_extra(child, 'admitted', nil)
  set_state(child, 'waiting')
  for _, edge in ipairs(child.x.edges or {}) do todo[#todo + 1] = { child.id, edge } end
end

-- Its dependants wait again, unless another parent of theirs did not succeed either.
local function revive(parent)
  local todo, index = {}, 1
  for _, edge in ipairs(parent.x.edges or {}) do todo[#todo + 1] = { parent.id, edge } end
  while todo[index] do
    local from, edge = todo[index][1], todo[index][2]
    local child = load(edge[CHILD])
    if child and edge[ON] ~= 'failure' and child.x.broken and child.x.broken[from] then
      revive_child(child, from, todo)
    end
    index = index + 1
  end
end

local function replay(id)
  local r = load(id)
  if not r then return 'unknown', '' end
  if not is_dead(r.c[STATE], r.c[REASON]) or r.c[REASON] == 'unreadable' then return 'not dead', '' end
  local once = r.x.once
  if once and HELD_UNTIL[once[SCOPE]] then
    if not take_lock(once[KEY], r, once[TIMEOUT]) then return 'held', lock_of(once[KEY]).owner end
    set_extra(r, 'admitted', true)
  end
  local c = r.c
  c[ATTEMPT], c[DELIVERY], c[BOUNCES], c[REASON] = 1, 0, 0, ''
  c[FIRST], c[STARTED], c[ENDED], c[EXPIRES] = false, false, false, false
  if r.x.failure then set_extra(r, 'failure', nil) end
  if r.x.revoked then set_extra(r, 'revoked', nil) end
  take_back_ending(r)
  audit('replayed', r)
  queue_at(r, false)
  revive(r)
  return 'replayed', ''
end

local reply = {}
for index = 3, #ARGV do
  local done, holder = replay(ARGV[index])
  reply[#reply + 1] = done
  reply[#reply + 1] = holder
end
flush()
return reply
