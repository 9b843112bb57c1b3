-- Free a lock. Repeating a release whose reply was lost gives the same answer, for a minute.
-- KEYS[1] '{ns}:'
-- ARGV    name, owner, limit (not used), now (ms; '' = server time),
--         forced (1 = by another than the owner, who is not to take it for his own release)
-- Returns 1 where the owner had it (or had released it), else 0.
-- @include clock.lua
-- @include lock.lua

local prefix, name, owner, now = KEYS[1], ARGV[1], ARGV[2], clock_now(ARGV[4])
local trace = prefix .. 'lockfreed:' .. owner
waiter_remove(prefix, 'lock', name, owner)
if lock_free(prefix, name, owner, now) then
  if ARGV[5] == '0' then redis.call('SET', trace, '1', 'PX', 60000) end
  return 1
end
-- A waiter that gives up may have been the one who was woken: pass that on.
if not lock_owner(prefix, name, now) then wake_one(prefix, 'lock', name, 1) end
return redis.call('EXISTS', trace)
