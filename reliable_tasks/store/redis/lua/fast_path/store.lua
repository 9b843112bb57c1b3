-- Store plain messages. Needs the function `general`.
-- @include fast_path/plain.lua

local function audit_stored(ids, strings)
  for index, id in ipairs(ids) do general().audit_packed('enqueued', id, strings[2 * index]) end
  general().flush()
end

-- Store messages: ids, heads, rests, each message as \1 head seq enqueued, of which seq and enqueued
-- are put in here, and \147 c m p; groups {queue, priority}, and in which of them
-- each is (false = all in the first). Returns whether nothing was at the keys of all of them; where
-- something was, nothing is stored.
local function store_plain(ids, heads, rests, groups, belongs)
  local total, strings, scores, stored = #ids, {}, {}, {}
  local seq = redis.call('INCRBY', prefix .. 'seq', total) - total
  local enqueued, start = struct.pack('>I8', now), prefix .. 'm:'
  for number = 1, #groups do scores[number], stored[number] = {}, {} end
  for index = 1, total do
    local id, number = ids[index], belongs and belongs[index] or 1
    local of_group, size = scores[number], #stored[number]
    strings[2 * index - 1] = start .. id
    strings[2 * index] = heads[index] .. struct.pack('>I8', seq + index) .. enqueued .. rests[index]
    of_group[2 * size + 1], of_group[2 * size + 2] = groups[number][2] * PLACE_IN_QUEUE + seq + index, id
    stored[number][size + 1] = id
  end
  if redis.call('MSETNX', unpack(strings)) == 0 then return false end
  for number, group in ipairs(groups) do
    redis.call('ZADD', prefix .. 'q:' .. group[1], unpack(scores[number]))
    count_in('queued', group[1], #stored[number])
    -- Mostly nobody listens, which one question tells.
    if redis.call('EXISTS', prefix .. 'idle:' .. group[1], prefix .. 'watched') > 0 then
      wake(group[1], #stored[number])
      notify_changed(stored[number], 'queued')
    end
  end
  if audit_all then audit_stored(ids, strings) end
  return true
end
