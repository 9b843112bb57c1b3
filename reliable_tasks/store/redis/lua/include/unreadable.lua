-- Records that cannot be decoded: damaged, or of a later layout. They become dead letters with the
-- string as their payload; otherwise they would be claimed for ever, or be found nowhere.
-- @include record.lua

-- @rare

-- Put a dead letter in the place of a record; what else tells of it is the caller's business.
local function dead_letter_unreadable(id, key, packed)
  local raw = packed .. (redis.call('GET', prefix .. 'p:' .. id) or '')
  local p = cmsgpack.pack(raw)
  local c = {
    'failed', 1, 'unreadable', 1, 0, 0, 0, 0, 0, false, false, now, false, false, false, false, now, '',
    0, false, false, #p,
  }
  local m = { '', '', 0, 0, 0, 0, false, '', false, 0, false, false, false, 0, '', false, '' }
  redis.call('SET', key, '\147' .. cmsgpack.pack(c) .. cmsgpack.pack(m) .. p)
  redis.call('DEL', prefix .. 'p:' .. id)
  redis.call('ZREM', prefix .. 'expires', id)
  redis.call('ZADD', prefix .. 'ended:failed', '+inf', id)
  redis.call('ZADD', prefix .. 'dead', now, id)
  publish(id, 'failed')
end

-- It is counted no more for where it stood, as far as it says where that was.
local function leave_place(id, c)
  if type(c) ~= 'table' then return end
  local state, queue = c[STATE], c[QUEUE]
  if not (KNOWN_STATES[state] and type(queue) == 'string') then return end
  if state ~= 'running' or type(c[SESSION]) == 'string' then
    redis.call('ZREM', prefix .. place_of(state, queue, c[SESSION]), id)
  end
  if not FINAL[state] then count_in(state, queue, -1) end
end

local function dead_letter_damaged()
  for _, row in ipairs(damaged) do
    leave_place(row.id, row.c)
    dead_letter_unreadable(row.id, row.key, row.packed)
    audit_row('failed', row.id, '', 1, 0, 0, '', '{"reason":"unreadable"}')
  end
  damaged = {}
end

-- @end
