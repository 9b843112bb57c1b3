-- Locks that are held, and who is parked behind each.
-- KEYS[1] '{ns}:'
-- ARGV    now, how many at most, names ... (none: every once-lock)
-- Returns {name, owner, fence, since, until, {ids}, ...}.
-- @include clock.lua
-- @include lock.lua

local prefix, now, limit, names = KEYS[1], clock_now(ARGV[1]), tonumber(ARGV[2]), {}
for index = 3, #ARGV do names[#names + 1] = ARGV[index] end
if not names[1] then names = redis.call('ZRANGE', prefix .. 'locks', 0, limit - 1) end
local reply = {}
for _, name in ipairs(names) do
  local lock = lock_owner(prefix, name, now)
  if lock then
    local ids = redis.call('LRANGE', prefix .. 'parked:' .. name, 0, limit - 1)
    for _, part in ipairs({ name, lock.owner, lock.fence, lock.since, lock.until_ms, ids }) do
      reply[#reply + 1] = part
    end
  end
end
return reply
