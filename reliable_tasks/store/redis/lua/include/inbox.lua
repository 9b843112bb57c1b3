-- Inboxes: where a producer leaves one plain message without a script, by one XADD.
--
-- {ns}:inbox:<queue> is a stream, {ns}:inboxes a set of the queues that have one. An entry has the
-- message's kind and payload, as they stand in its string, and its id; one without them is a bell,
-- see notify.lua. Inboxes have messages of the highest priority only, and all that lies in one is
-- newer than what else is in its queue: whoever queues, claims or looks for messages absorbs it
-- first, that is, makes records of what is there.
-- @include notify.lua
-- @include layout.lua
-- @include trail.lua

local ABSORBED_AT_ONCE = 1000
local MORE = 'MORE' -- the reply of who has to know all that is stored, and has not absorbed all of it

-- What lies in an inbox, oldest first, at most `most` messages: the numbers of their entries and of
-- the bells among them, ids, strings as of a message that is queued, and the seq before the first of
-- these. One more is read than is wanted, since one bell is all there is mostly; if there are more of
-- them, it reads on.
local function read_inbox(inbox, most)
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
  until #found < size or #ids == most or #numbers > ABSORBED_AT_ONCE
  local seq = ids[1] and redis.call('INCRBY', prefix .. 'seq', #ids) - #ids
  for index, entry in ipairs(entries) do
    local enqueued = ARGV[1] == '' and tonumber(string.match(entry[1], '%d+')) or now
    strings[index] = entry[2][1] .. struct.pack('>I8I8', enqueued, seq + index) .. entry[2][2]
  end
  return numbers, ids, strings, seq
end

local function keys_and_strings(ids, strings)
  local found, start = {}, prefix .. 'm:'
  for index, id in ipairs(ids) do
    found[2 * index - 1], found[2 * index] = start .. id, strings[index]
  end
  return found
end

-- Store them one by one: where something is at the key of one, that stays, and what came later is
-- dropped. Returns which are stored.
local function store_each(ids, strings)
  local stored = {}
  for index, id in ipairs(ids) do
    stored[index] = redis.call('SET', prefix .. 'm:' .. id, strings[index], 'NX')
    if not stored[index] then add_row('duplicate', id, '', 0, 0, 0, '', '') end
  end
  return stored
end

-- Queue what lies in an inbox, at most so much as one script may. Returns how much is left.
local function absorb(queue, takes_bells)
  local inbox = prefix .. 'inbox:' .. queue
  local there = redis.call('XLEN', inbox)
  if there == 0 then return 0 end
  local numbers, ids, strings, seq = read_inbox(inbox, ABSORBED_AT_ONCE)
  if not (ids[1] or takes_bells) then return 0 end
  local taken = ids[1] and redis.call('MSETNX', unpack(keys_and_strings(ids, strings))) == 0
  local stored, scores, queued = taken and store_each(ids, strings), {}, {}
  for index, id in ipairs(ids) do
    local size = #queued
    if not stored or stored[index] then
      queued[size + 1], scores[2 * size + 1], scores[2 * size + 2] = id, seq + index, id
    end
  end
  redis.call('XDEL', inbox, unpack(numbers))
  if queued[1] then
    redis.call('ZADD', prefix .. 'q:' .. queue, unpack(scores))
    count_in('queued', queue, #queued)
    wake(queue)
    notify_changed(queued, 'queued')
  end
  return there - #numbers
end

-- Absorb all inboxes, as far as one script may. Returns how much is left in the first one that is
-- left.
local function absorb_all()
  local queues, left = redis.call('SMEMBERS', prefix .. 'inboxes'), 0
  for _, queue in ipairs(queues) do
    if left == 0 then left = absorb(queue) end
  end
  return left
end
