-- A page of the locks of the package `locks` that are no once-locks.
-- KEYS[1] '{ns}:'
-- ARGV    now, how many of the parked, how many keys to look at, cursor of SCAN ('0' begins), pattern
--         for '{ns}:lock:*'
-- Returns {next cursor ('0' = the end), name, owner, fence, since, until, {ids}, ...}; a lock may come
--         twice.
-- @include listing.lua

local page = redis.call('SCAN', ARGV[4], 'MATCH', ARGV[5], 'COUNT', ARGV[3])
local reply, names = { page[1] }, {}
for _, key in ipairs(page[2]) do
  local name = string.sub(key, #KEYS[1] + 6)
  if not redis.call('ZSCORE', KEYS[1] .. 'locks', name) then names[#names + 1] = name end
end
add_locks(reply, names, clock_now(ARGV[1]), ARGV[2])
return reply
