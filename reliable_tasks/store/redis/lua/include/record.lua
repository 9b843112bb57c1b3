-- Records in memory: what a script reads of messages, changes, and writes at its end.
--
-- Nothing is written while a script decides, but that numbers of counters are taken: it changes the
-- tables below, and `flush` (write.lua) then writes all of it with commands that cannot fail. So an
-- error on the way leaves no trace.
--
-- How a record lies in its string is in layout.lua.
-- @include notify.lua
-- @include validate.lua

-- c[EXTRAS], in a record x, has, absent while it does not apply: once, waits, mirrors, parked,
-- admitted, stage, graft, lent, revoked, edges, broken, failure, doom, progress (a state) and meta; how
-- many bytes of inputs, that there are steps; and the number of its ending, if edges of that were left.
-- A message that is just one call, as most are, has no x: all that costs time hangs on it.
local NO_EXTRAS = {}

local APART = '\195'

local records = {} -- id -> record; false = there is none
local foreign = {} -- ids whose key is taken by something that is no record
-- {id, key, packed, c where that much can be decoded} of records that cannot be; see unreadable.lua
local damaged = {}
local dirty = {} -- records to write, in the order of their first change
local later = {} -- commands to run at the end, in order
local reserve = 1 -- how many numbers are likely to be needed
local last_seq, seqs_left = 0, 0

local function defer(...) later[#later + 1] = { ... } end

-- The next number of the counter {ns}:seq. Those that are reserved and not used are left out.
local function next_seq()
  if seqs_left == 0 then
    last_seq, seqs_left = redis.call('INCRBY', prefix .. 'seq', reserve), reserve
  end
  seqs_left = seqs_left - 1
  return last_seq - seqs_left
end

-- The unpacked m of a record.
local function static(r)
  local m = r.m
  if not m then
    local _
    _, m = cmsgpack.unpack_one(r.rest, 0)
    r.m = m
  end
  return m
end

-- A record made of its string; `move` needs to know how it was.
local function remember(id, key, packed)
  local unpacked, m, c, rest = pcall(function() return decode_valid(packed) end)
  if not unpacked or not m then
    if is_ours(packed) then damaged[#damaged + 1] = { id = id, key = key, packed = packed, c = unpacked and c } end
    foreign[id], records[id] = true, false
    return false
  end
  local r = {
    id = id, key = key, c = c, x = c[EXTRAS] or NO_EXTRAS, rest = rest, -- m and p
    old_state = c[STATE], old_queue = c[QUEUE], old_session = c[SESSION],
    old_expires = c[EXPIRES], old_reason = c[REASON],
    -- Named here for room: a table that grows is copied.
    dirty = false, moved = false, popped = false, m = m, packed = packed,
  }
  records[id] = r
  return r
end

-- Load records by one command, where there are several.
local function load_all(ids)
  for first = 1, #ids, BY_ONE_CALL do
    local keys, last = {}, math.min(first + BY_ONE_CALL - 1, #ids)
    for index = first, last do keys[index - first + 1] = prefix .. 'm:' .. ids[index] end
    for index, packed in ipairs(redis.call('MGET', unpack(keys))) do
      local id = ids[first + index - 1]
      if records[id] == nil then
        if packed then remember(id, keys[index], packed) else records[id] = false end
      end
    end
  end
end

-- The record of a message, or false. A key of ours that somebody else took counts as absent here;
-- `store` refuses to write there.
local function load(id)
  local r = records[id]
  if r == nil then
    load_all({ id })
    r = records[id]
  end
  return r
end

local function touch(r)
  if not r.dirty then
    r.dirty = true
    dirty[#dirty + 1] = r
  end
end

local function changed(r)
  local c = r.c
  c[VERSION] = c[VERSION] + 1
  touch(r)
end

local function set_state(r, state)
  r.c[STATE], r.moved = state, true
  changed(r)
end

local function is_apart(r)
  return r.c[SIZE_OF_P] == 1 and string.sub(r.rest, -1) == APART
end

local function forget_payload(r)
  if is_apart(r) then defer('DEL', prefix .. 'p:' .. r.id) end
end

-- Put a payload, packed, in the place of the one that is there; false = it is not needed any more.
local function set_payload(r, packed)
  forget_payload(r)
  r.apart = packed and #packed > INLINE and packed -- which the server does not have yet
  if r.apart then
    defer('SET', prefix .. 'p:' .. r.id, packed)
    packed = APART
  end
  packed = packed or NO_PAYLOAD
  r.rest = string.sub(r.rest, 1, -r.c[SIZE_OF_P] - 1) .. packed
  r.c[SIZE_OF_P] = #packed
  touch(r)
end

-- @rare

-- A record's payload, packed; NO_PAYLOAD where it is not needed any more.
local function payload_of(r)
  if not is_apart(r) then return string.sub(r.rest, -r.c[SIZE_OF_P]) end
  return r.apart or redis.call('GET', prefix .. 'p:' .. r.id)
end

-- A dead letter: it failed by itself, and can be replayed.
local function is_dead(state, reason)
  return state == 'failed' and reason ~= 'parent' and reason ~= 'mirror'
end

-- When a record in this state has to be looked at because it expires; false = never.
local function expiry_of(state, expires)
  return not FINAL[state] and state ~= 'running' and expires
end

local function set_extra(r, name, value)
  if r.x == NO_EXTRAS then r.x = {} end
  r.x[name] = value
  touch(r)
end

-- The record's other keys: what parents left for it, and its steps.
local function forget_inputs(r)
  if r.x.inputs then
    defer('DEL', prefix .. 'in:' .. r.id)
    set_extra(r, 'inputs', nil)
  end
end

local function forget_steps(r)
  if r.x.steps then
    defer('DEL', prefix .. 'step:' .. r.id)
    set_extra(r, 'steps', nil)
  end
end

-- Delete a record; its locks are the caller's business.
local function forget(r)
  forget_inputs(r)
  forget_steps(r)
  forget_payload(r)
  r.deleted = true
  touch(r)
  records[r.id] = false
end

-- @end
