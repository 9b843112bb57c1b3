-- Give a place of a semaphore back. Repeating it after a lost reply gives the same answer.
-- KEYS[1] '{ns}:'
-- ARGV    name, owner, limit, now (ms; '' = server time),
--         forced (1 = by another than the owner, who is not to take it for his own release)
-- Returns 1 where the owner had one (or had given it back), else 0.
-- @include clock.lua
-- @include semaphore.lua

local prefix, name, owner = KEYS[1], ARGV[1], ARGV[2]
local limit, now = tonumber(ARGV[3]), clock_now(ARGV[4])
local trace = prefix .. 'lockfreed:' .. owner
waiter_remove(prefix, 'sem', name, owner)
if semaphore_free(prefix, name, owner, now, limit) then
  if ARGV[5] == '0' then redis.call('SET', trace, '1', 'PX', 60000) end
  return 1
end
-- A waiter that gives up may have been the one who was woken: pass that on.
wake_one(prefix, 'sem', name, limit - semaphore_count(prefix, name, now))
return redis.call('EXISTS', trace)
