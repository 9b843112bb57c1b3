-- Hold a lock longer.
-- KEYS[1] '{ns}:'
-- ARGV    name, owner, ttl_ms from now (0 = until released), now (ms; '' = server time)
-- Returns {until}; {} where the owner does not have the lock.
-- @include clock.lua
-- @include lock.lua

local until_ms = lock_extend(KEYS[1], ARGV[1], ARGV[2], clock_now(ARGV[4]), tonumber(ARGV[3]))
return until_ms and { until_ms } or {}
