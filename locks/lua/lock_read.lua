-- Who holds a lock.
-- KEYS[1] '{ns}:'
-- ARGV    name, now (ms; '' = server time)
-- Returns {number who wait, owner, fence, since, until}, without the last four where it is free.
-- @include clock.lua
-- @include lock.lua

local now = clock_now(ARGV[2])
local waiters, after = KEYS[1] .. 'lockwait:' .. ARGV[1], string.format('(%.0f', now)
local waiting = redis.call('ZCOUNT', waiters, after, '+inf')
local record = lock_owner(KEYS[1], ARGV[1], now)
if not record then return { waiting } end
return { waiting, record.owner, record.fence, record.since, record.until_ms }
