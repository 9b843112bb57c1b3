-- Dead-letter records that a client could not decode, with their strings as they were.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, session that holds them, id, string as it was read, ...
-- Returns how many there were: one that has changed meanwhile is left alone.
-- @include inbox.lua
-- @include sessions.lua

absorb_all()

-- What hangs on it ends as well, where the record can be understood that far. Nothing is written if
-- it cannot.
local function end_understood(id)
  local r = load(id)
  if not r then return false end
  finish(r, 'failed', 'unreadable')
  return true
end

-- The queue that it was counted for; false where even that cannot be read.
local function queue_of(packed)
  local size = struct.unpack('>I2', packed, CLAIMED_HEAD - 1)
  return cmsgpack.unpack(string.sub(packed, CLAIMED_HEAD + 1, CLAIMED_HEAD + size))[STAMP_QUEUE]
end

local done = 0
for index = 4, #ARGV, 2 do
  local id, packed = ARGV[index], ARGV[index + 1]
  local key = prefix .. 'm:' .. id
  if redis.call('GET', key) == packed then
    local understood, ended = pcall(function() return end_understood(id) end)
    if understood and ended then
      flush()
    else
      dirty, later, records, damaged, lock_table = {}, {}, {}, {}, {}
      unwritten, counted, newest = {}, {}, {}
      local known, queue = pcall(function() return queue_of(packed) end)
      if known and type(queue) == 'string' then count_in('running', queue, -1) end
      audit_row('failed', id, '', 1, 0, 0, '', '{"reason":"unreadable"}')
    end
    redis.call('ZREM', prefix .. 'claims:' .. ARGV[3], id)
    dead_letter_unreadable(id, key, packed)
    flush()
    done = done + 1
  end
end
return done
