-- Built of places.lua by `python -m tests.lua.build`.
local F = { absorb = false, absorb_all = false, add_row = false, clock_now = false, count_in = false, is_watched = false, keys_and_strings = false, notify_changed = false, publish = false, read_inbox = false, ring = false, store_each = false, wake = false }
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
  local numbers, ids, entries, strings, seen, found, size = {}, {}, {}, {}, {}, nil, nil
  repeat
    size = most - #ids + #numbers + 1
    local after = numbers[1] and '(' .. numbers[#numbers] or '-'
    found = redis.call('XRANGE', inbox, after, '+', 'COUNT', size)
    for _, entry in ipairs(found) do
      local id = entry[2][4]
      if id and #ids == most then break end
      numbers[#numbers + 1] = entry[1]
      if id and not seen[id] then
        seen[id] = true
        ids[#ids + 1], entries[#entries + 1] = id, entry
      end
    end
  until #found < size or #ids == most or #numbers > 1000
  local seq = ids[1] and redis.call('INCRBY', prefix .. 'seq', #ids) - #ids
  for index, entry in ipairs(entries) do
    local enqueued = ARGV[1] == '' and tonumber(string.match(entry[1], '%d+')) or now
    strings[index] = entry[2][1] .. struct.pack('>I8I8', enqueued, seq + index) .. entry[2][2]
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
-- places.lua
if F.absorb_all() > 0 then return MORE end
local reply = redis.call('ZRANGE', prefix .. 'sessions', 0, -1)
reply[#reply + 1] = ''
for _, name in ipairs(redis.call('HKEYS', prefix .. 'counts')) do reply[#reply + 1] = name end
return reply
