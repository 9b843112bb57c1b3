-- Built of locate.lua by `python -m tests.lua.build`.
local F = { absorb = false, absorb_all = false, add_row = false, clock_now = false, count_in = false, is_ours = false, is_record = false, is_watched = false, keys_and_strings = false, notify_changed = false, publish = false, read_inbox = false, read_records = false, ring = false, store_each = false, wake = false }
-- clock.lua
function F.clock_now(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
-- call.lua
local prefix, now, audit_all = KEYS[1], F.clock_now(ARGV[1]), string.sub(ARGV[2], 1, 3) == 'all'
-- notify.lua
function F.count_in(state, queue, by)
  local name = state .. ':' .. queue
  if by ~= 0 and redis.call('HINCRBY', prefix .. 'counts', name, by) == 0 then
    redis.call('HDEL', prefix .. 'counts', name)
  end
end
function F.ring(queue)
  redis.call('XADD', prefix .. 'inbox:' .. queue, 'NOMKSTREAM', '*', '', '')
end
function F.wake(queue)
  if redis.call('XLEN', prefix .. 'inbox:' .. queue) == 0 then F.ring(queue) end
end
function F.is_watched() return redis.call('EXISTS', prefix .. 'watched') == 1 end
function F.publish(id, state, ended)
  if ended and #ended <= 8192 then state = state .. ' ' .. ended end
  redis.call('PUBLISH', prefix .. 'changed:' .. id, state)
end
function F.notify_changed(ids, state)
  if not F.is_watched() then return end
  for _, id in ipairs(ids) do F.publish(id, state) end
end
-- trail.lua
function F.add_row(event, id, task, attempt, delivery, fence, worker, detail)
  local size = 200 + #id + #task + #worker + #detail
  local number = redis.call('XADD', prefix .. 'audit', '*', 'e', event, 'at', now, 'id', id, 't', task,
    'a', attempt, 'd', delivery, 'f', fence, 'w', worker, 'x', detail, 's', size)
  redis.call('RPUSH', prefix .. 'audit:' .. id, number)
  return number, redis.call('INCRBY', prefix .. 'auditbytes', size)
end
-- inbox.lua
local MORE = 'MORE'
function F.read_inbox(inbox, most)
  local numbers, ids, strings, seq, seen = {}, {}, {}, false, {}
  local found = redis.call('XRANGE', inbox, '-', '+', 'COUNT', most + 1)
  for index, entry in ipairs(found) do
    local number, kind, p, id = entry[1], entry[2][1], entry[2][2], entry[2][4]
    local size = #ids
    if id and size == most then break end
    numbers[index] = number
    if id and not seen[id] then
      seen[id], seq = true, seq or redis.call('INCRBY', prefix .. 'seq', #found) - #found
      local enqueued = ARGV[1] == '' and tonumber(string.match(number, '%d+')) or now
      ids[size + 1] = id
      strings[size + 1] = kind .. struct.pack('>I8I8', enqueued, seq + size + 1) .. p
    end
  end
  return numbers, ids, strings, seq
end
function F.keys_and_strings(ids, strings)
  local found, start = {}, prefix .. 'm:'
  for index, id in ipairs(ids) do
    found[2 * index - 1], found[2 * index] = start .. id, strings[index]
  end
  return found
end
function F.store_each(ids, strings)
  local stored = {}
  for index, id in ipairs(ids) do
    stored[index] = redis.call('SET', prefix .. 'm:' .. id, strings[index], 'NX')
    if not stored[index] then F.add_row('duplicate', id, '', 0, 0, 0, '', '') end
  end
  return stored
end
function F.absorb(queue, takes_bells)
  local inbox = prefix .. 'inbox:' .. queue
  local there = redis.call('XLEN', inbox)
  if there == 0 then return 0 end
  local numbers, ids, strings, seq = F.read_inbox(inbox, 1000)
  if not (ids[1] or takes_bells) then return 0 end
  local taken = ids[1] and redis.call('MSETNX', unpack(F.keys_and_strings(ids, strings))) == 0
  local stored, scores, queued = taken and F.store_each(ids, strings), {}, {}
  for index, id in ipairs(ids) do
    local size = #queued
    if not stored or stored[index] then
      queued[size + 1], scores[2 * size + 1], scores[2 * size + 2] = id, seq + index, id
    end
  end
  redis.call('XDEL', inbox, unpack(numbers))
  if queued[1] then
    redis.call('ZADD', prefix .. 'q:' .. queue, unpack(scores))
    F.count_in('queued', queue, #queued)
    F.wake(queue)
    F.notify_changed(queued, 'queued')
  end
  return there - #numbers
end
function F.absorb_all()
  local queues, left = redis.call('SMEMBERS', prefix .. 'inboxes'), 0
  for _, queue in ipairs(queues) do
    if left == 0 then left = F.absorb(queue) end
  end
  return left
end
-- decode.lua
local NO_PAYLOAD = '\194'
function F.is_record(packed)
  local kind = string.byte(packed) or 0
  return kind == 147 or kind >= 5 and kind <= 8
end
function F.is_ours(packed)
  local kind = string.byte(packed) or 0
  return kind > 0 and kind < 32 or kind == 147
end
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
return F[missed]
end })
-- reading.lua
function F.read_records(ids)
  local found = {}
  for index, id in ipairs(ids) do
    local packed = redis.pcall('GET', KEYS[1] .. 'm:' .. id)
    found[index] = type(packed) == 'string' and F.is_ours(packed) and packed
  end
  return found
end
-- locate.lua
if F.absorb_all() > 0 then return MORE end
local id = ARGV[3]
local reply = { '', 0 }
for _, session in ipairs(redis.call('ZRANGE', prefix .. 'sessions', 0, -1)) do
  reply[#reply + 1] = session
end
reply[#reply + 1] = ''
for _, name in ipairs(redis.call('HKEYS', prefix .. 'counts')) do reply[#reply + 1] = name end
local packed = id ~= '' and F.read_records({ id })[1]
if not packed then return reply end
local c = F.decode(packed)
local state = c[1]
local place = state
if state == 'queued' then
  place = 'q:' .. c[18]
elseif state == 'running' then
  place = 'claims:' .. c[10]
elseif state == 'succeeded' or state == 'failed' or state == 'revoked' then
  place = 'ended:' .. state
end
reply[1] = place
reply[2] = redis.call('ZRANK', prefix .. place, id) or 0
return reply
