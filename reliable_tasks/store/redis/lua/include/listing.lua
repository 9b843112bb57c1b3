-- List locks.
-- @include clock.lua
-- @include lock.lua

-- Add to a reply name, owner, fence, since, until and {ids} of each of these locks that is held: the
-- ids of at most so many that are parked behind it.
local function add_locks(reply, names, now, parked)
  for _, name in ipairs(names) do
    local lock = lock_owner(KEYS[1], name, now)
    if lock then
      local ids = redis.call('LRANGE', KEYS[1] .. 'parked:' .. name, 0, parked - 1)
      for _, part in ipairs({ name, lock.owner, lock.fence, lock.since, lock.until_ms, ids }) do
        reply[#reply + 1] = part
      end
    end
  end
end
