-- Who holds places of a semaphore, by fencing number.
-- KEYS[1] '{ns}:'
-- ARGV    name, now (ms; '' = server time)
-- Returns {number who wait, owner, fence, since, until, owner, fence, since, until, ...}.
-- @include clock.lua
-- @include semaphore.lua

local prefix, name, now = KEYS[1], ARGV[1], clock_now(ARGV[2])
local leases = {}
for _, owner in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'sem:' .. name, string.format('(%.0f', now), '+inf')) do
  leases[#leases + 1] = semaphore_lease(prefix, name, owner, now)
end
table.sort(leases, function(a, b) return a.fence < b.fence end)
local reply = { redis.call('ZCOUNT', prefix .. 'semwait:' .. name, string.format('(%.0f', now), '+inf') }
for _, lease in ipairs(leases) do
  reply[#reply + 1] = lease.owner
  reply[#reply + 1] = lease.fence
  reply[#reply + 1] = lease.since
  reply[#reply + 1] = lease.until_ms
end
return reply
