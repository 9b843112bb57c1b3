-- Built of heartbeat.lua by `python -m tests.lua.build`.
local F = { clock_now = false, defer = false, is_ours = false, is_record = false, load = false, load_all = false, next_seq = false, remember = false, tell_stops = false, touch = false }
-- clock.lua
function F.clock_now(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
-- call.lua
local prefix, now, audit_all = KEYS[1], F.clock_now(ARGV[1]), string.sub(ARGV[2], 1, 3) == 'all'
-- decode.lua
local FINAL = { succeeded = true, failed = true, revoked = true }
local NO_PAYLOAD = '\194'
function F.is_record(packed)
  local kind = string.byte(packed) or 0
  return kind == 147 or kind >= 5 and kind <= 8
end
function F.is_ours(packed)
  local kind = string.byte(packed) or 0
  return kind > 0 and kind < 32 or kind == 147
end
-- validate.lua
local KNOWN_STATES = {
  waiting = true, scheduled = true, queued = true, running = true,
  succeeded = true, failed = true, revoked = true,
}
local LARGEST_NUMBER = 2 ^ 53
local type_of = type
local is_whole = function(n)
  return type_of(n) == 'number' and n >= -LARGEST_NUMBER and n <= LARGEST_NUMBER and n % 1 == 0
end
local is_count = function(n)
  return type_of(n) == 'number' and n >= 0 and n <= LARGEST_NUMBER and n % 1 == 0
end
local is_text = function(s) return type_of(s) == 'string' end
local is_truth = function(b) return type_of(b) == 'boolean' end
local is_table = function(t) return type_of(t) == 'table' end
local or_none = function(fits) return function(value) return value == false or fits(value) end end
local maybe_whole, maybe_text, maybe_table = or_none(is_whole), or_none(is_text), or_none(is_table)
local once_fits = function(once)
  return is_text(once[1]) and is_text(once[2]) and is_text(once[3])
    and is_count(once[4])
end
local edges_fit = function(edges)
  for _, edge in ipairs(edges) do
    if not (is_text(edge[1]) and is_text(edge[2]) and is_whole(edge[3])) then return false end
  end
  return true
end
local OF_C = {
  function(state) return KNOWN_STATES[state] end, is_count, is_text, is_count, is_count, is_count,
  is_count, is_count, is_count, maybe_text, maybe_text, is_count,
  maybe_whole, maybe_whole, maybe_whole, maybe_whole, maybe_whole, is_text, is_count,
  maybe_table, maybe_text, is_count,
}
local OF_M = {
  is_text, is_text, is_whole, is_count, is_count, is_count,
  or_none(once_fits), is_text, maybe_whole, is_whole, maybe_whole, maybe_whole, is_truth, is_count,
}
local OF_X = {
  once = once_fits, edges = edges_fit, waits = is_whole, mirrors = is_text, parked = is_text,
  stage = is_text, graft = is_text, lent = is_text, revoked = is_text, failure = is_text,
  doom = is_text, progress = is_text, meta = is_text, inputs = is_count, ending = is_whole,
  broken = is_table,
}
-- record.lua
local NO_EXTRAS = {}
local records = {}
local foreign = {}
local damaged = {}
local dirty = {}
local later = {}
local reserve = 1
local last_seq, seqs_left = 0, 0
function F.defer(...) later[#later + 1] = { ... } end
function F.next_seq()
  if seqs_left == 0 then
    last_seq, seqs_left = redis.call('INCRBY', prefix .. 'seq', reserve), reserve
  end
  seqs_left = seqs_left - 1
  return last_seq - seqs_left
end
function F.remember(id, key, packed)
  local unpacked, m, c, rest = pcall(function() return F.decode_valid(packed) end)
  if not unpacked or not m then
    if F.is_ours(packed) then damaged[#damaged + 1] = { id = id, key = key, packed = packed, c = unpacked and c } end
    foreign[id], records[id] = true, false
    return false
  end
  local r = {
    id = id, key = key, c = c, x = c[20] or NO_EXTRAS, rest = rest,
    old_state = c[1], old_queue = c[18], old_session = c[10],
    old_expires = c[14], old_reason = c[3],
    dirty = false, moved = false, popped = false, m = m, packed = packed,
  }
  records[id] = r
  return r
end
function F.load_all(ids)
  for first = 1, #ids, 2000 do
    local keys, last = {}, math.min(first + 2000 - 1, #ids)
    for index = first, last do keys[index - first + 1] = prefix .. 'm:' .. ids[index] end
    for index, packed in ipairs(redis.call('MGET', unpack(keys))) do
      local id = ids[first + index - 1]
      if records[id] == nil then
        if packed then F.remember(id, keys[index], packed) else records[id] = false end
      end
    end
  end
end
function F.load(id)
  local r = records[id]
  if r == nil then
    F.load_all({ id })
    r = records[id]
  end
  return r
end
function F.touch(r)
  if not r.dirty then
    r.dirty = true
    dirty[#dirty + 1] = r
  end
end
-- write.lua
local before_flush = false
-- transitions.lua
local endings, first_ending, last_ending, followed, left_behind = {}, 1, 0, 0, false
before_flush = function() F.leave_all_edges() end
setmetatable(F, { __index = function(_, missed)
setmetatable(F, nil)
-- decode.lua
function F.decode(packed)
  if not F.is_record(packed) then return nil end
  local kind, head = string.byte(packed), 0
  if kind == 147 then
    local offset, c = cmsgpack.unpack_one(packed, 1)
    return c, string.sub(packed, offset + 1)
  end
  local fence, size
  if kind ~= 5 then
    fence, size = struct.unpack('>I8I2', packed, 2)
    head = 11 + size
  end
  local place = head + struct.unpack('>I4', packed, head + 2) + 1
  local offset, c = cmsgpack.unpack_one(packed, head + 13)
  local m, place_of_p = string.sub(packed, offset + 1, place - 1), place + 16
  c[12], c[9] = struct.unpack('>I8I8', packed, place)
  c[22] = #packed - place_of_p + 1
  if kind == 5 then return c, m .. string.sub(packed, place_of_p) end
  local stamp = cmsgpack.unpack(string.sub(packed, 11 + 1, head))
  c[1], c[2], c[7], c[5] = 'running', c[2] + 1, fence, c[5] + 1
  c[10], c[11], c[16] = stamp[1], stamp[2], stamp[3]
  c[15] = c[15] or stamp[3]
  if kind == 6 then return c, m .. string.sub(packed, place_of_p) end
  c[1], c[2], c[3], c[8] = 'succeeded', c[2] + 1, '', fence
  c[10], c[13], c[17] = false, false, struct.unpack('>I8', packed, place_of_p)
  c[21] = kind == 7 and string.sub(packed, place_of_p + 8)
  c[22] = 1
  return c, m .. NO_PAYLOAD
end
-- validate.lua
function F.all_valid(checks, values)
  for index = 1, #checks do
    if not checks[index](values[index]) then return false end
  end
  return true
end
function F.control_is_valid(c)
  if not F.all_valid(OF_C, c) then return false end
  local state = c[1]
  if state == 'running' and not c[10] or state == 'scheduled' and not c[13] then return false end
  if FINAL[state] and not c[17] then return false end
  for name, value in pairs(c[20] or {}) do
    local check = OF_X[name]
    if check and value and not check(value) then return false end
  end
  return true
end
function F.decode_valid(packed)
  local c, rest = F.decode(packed)
  if not F.control_is_valid(c) then return nil, c end
  local known, offset, m = pcall(cmsgpack.unpack_one, rest, 0)
  if not known or offset + c[22] ~= #rest or not F.all_valid(OF_M, m) then return nil, c end
  return m, c, rest
end
-- record.lua
function F.set_extra(r, name, value)
  if r.x == NO_EXTRAS then r.x = {} end
  r.x[name] = value
  F.touch(r)
end
-- transitions.lua
function F.leave_edges(ending)
  local parent, edges, parts = ending.parent, ending.edges, 0
  local number, last = F.next_seq(), #edges
  local most = math.ceil(200 / ending.cost)
  for first = ending.followed + 1, last, most do
    local part = { unpack(edges, first, math.min(first + most - 1, last)) }
    F.defer('RPUSH', prefix .. 'endings', number .. ' ' .. cmsgpack.pack(part))
    parts = parts + 1
  end
  if parts == 0 then return end
  local facts = cmsgpack.pack({ parent.id, parent.c[1], parent.c[3], ending.keep })
  F.defer('HSET', prefix .. 'ending:' .. number, 'facts', facts, 'result', ending.result,
    'failure', parent.x.failure or '', 'parts', parts)
  if parent.c[1] == 'failed' and not parent.deleted and parent.c[2] then
    F.set_extra(parent, 'ending', number)
  end
end
function F.leave_all_edges()
  if first_ending > last_ending then return end
  left_behind = true
  for index = first_ending, last_ending do F.leave_edges(endings[index]) end
  endings, first_ending, last_ending = {}, 1, 0
end
return F[missed]
end })
-- heartbeat.lua
local lost, commands = {}, {}
function F.tell_stops(session)
  local key, found = prefix .. 'stops:' .. session, {}
  for _, id in ipairs(redis.call('SMEMBERS', key)) do
    local r = F.load(id)
    if r and r.c[10] == session and r.x.revoked and r.x.revoked ~= '' then
      found[#found + 1] = r
    else
      redis.call('SREM', key, id)
    end
  end
  table.sort(found, function(a, b) return a.c[7] < b.c[7] end)
  for _, r in ipairs(found) do
    for _, part in ipairs({ session, r.id, r.c[7], r.x.revoked }) do
      commands[#commands + 1] = part
    end
  end
end
for index = 4, #ARGV do
  local session = ARGV[index]
  if not redis.call('ZSCORE', prefix .. 'sessions', session) then
    lost[#lost + 1] = session
  else
    redis.call('ZADD', prefix .. 'sessions', now + ARGV[3], session)
    F.tell_stops(session)
  end
end
return { lost, commands, now }
