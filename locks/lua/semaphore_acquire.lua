-- Take a place of a semaphore, or learn when the first one is free; who will wait is noted.
-- KEYS[1] '{ns}:'
-- ARGV    name, owner, ttl_ms (0 = until released), limit, wait_ms (0 = will not wait),
--         now (ms; '' = server time)
-- Returns {1, fence, since, until} where taken; {0, ms until the first lease ends (-1 = never)}.
-- @include clock.lua
-- @include semaphore.lua

local prefix, name, owner = KEYS[1], ARGV[1], ARGV[2]
local wait_ms, now = tonumber(ARGV[5]), clock_now(ARGV[6])
local lease, first =
  semaphore_take(prefix, name, owner, now, tonumber(ARGV[3]), tonumber(ARGV[4]))
if lease then
  waiter_remove(prefix, 'sem', name, owner)
  return { 1, lease.fence, lease.since, lease.until_ms }
end
if wait_ms > 0 then waiter_add(prefix, 'sem', name, owner, now, wait_ms) end
return { 0, first > 0 and first - now or -1 }
