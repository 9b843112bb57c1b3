-- Store plain messages. Needs the function `general`.
-- @include fast_path/plain.lua

local function audit_stored(ids, strings)
  for index, id in ipairs(ids) do general().audit_packed('enqueued', id, strings[2 * index]) end
  general().flush()
end

-- Store messages: ids, payloads, kinds {how the strings of its messages begin, queue, priority},
-- and of which kind each is (false = all of the first). Returns whether nothing was at the keys of
-- all of them; where something was, nothing is stored.
local function store_plain(ids, payloads, kinds, belongs)
  local total, strings, starts, scores, stored = #ids, {}, {}, {}, {}
  local seq = redis.call('INCRBY', prefix .. 'seq', total) - total
  local enqueued, start = struct.pack('>I8', now), prefix .. 'm:'
  for number, kind in ipairs(kinds) do
    starts[number], scores[kind[2]], stored[kind[2]] = kind[1] .. enqueued, {}, {}
  end
  for index = 1, total do
    local id, number = ids[index], belongs and belongs[index] or 1
    local queue = kinds[number][2]
    local of_queue, size = scores[queue], #stored[queue]
    strings[2 * index - 1] = start .. id
    strings[2 * index] = starts[number] .. struct.pack('>I8', seq + index) .. payloads[index]
    of_queue[2 * size + 1], of_queue[2 * size + 2] = kinds[number][3] * PLACE_IN_QUEUE + seq + index, id
    stored[queue][size + 1] = id
  end
  if redis.call('MSETNX', unpack(strings)) == 0 then return false end
  for queue, of_queue in pairs(scores) do
    redis.call('ZADD', prefix .. 'q:' .. queue, unpack(of_queue))
    count_in('queued', queue, #stored[queue])
    wake(queue)
    notify_changed(stored[queue], 'queued')
  end
  if audit_all then audit_stored(ids, strings) end
  return true
end
