-- Take a lock, or learn when its holder's time ends; a caller who will wait is noted.
-- KEYS[1] '{ns}:'
-- ARGV    name, owner, ttl_ms (0 = until released), limit (not used), wait_ms (0 = will not wait),
--         now (ms; '' = server time)
-- Returns {1, fence, since, until} where taken; {0, ms until the holder's time ends (-1 = never),
--         the holder}.
-- @include clock.lua
-- @include lock.lua

local prefix, name, owner = KEYS[1], ARGV[1], ARGV[2]
local ttl_ms, wait_ms, now = tonumber(ARGV[3]), tonumber(ARGV[5]), clock_now(ARGV[6])
local fence, record = lock_take(prefix, name, owner, now, ttl_ms)
if fence then
  waiter_remove(prefix, 'lock', name, owner)
  return { 1, fence, record.since, record.until_ms }
end
if wait_ms > 0 then waiter_add(prefix, 'lock', name, owner, now, wait_ms) end
return { 0, record.until_ms > 0 and record.until_ms - now or -1, record.owner }
