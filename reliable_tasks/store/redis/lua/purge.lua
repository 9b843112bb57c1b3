-- Revoke what is queued on a queue, then what is scheduled for it.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, queue, limit, how many of the scheduled to look at
-- Returns how many were revoked.
-- @include inbox.lua
-- @include transitions.lua

if absorb_all() > 0 then return MORE end
local queue, limit, look_at = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local found = redis.call('ZRANGE', prefix .. 'q:' .. queue, 0, limit - 1)
local offset = 0
while #found < limit and offset < look_at do
  local ids = redis.call('ZRANGE', prefix .. 'scheduled', offset, offset + 499)
  if not ids[1] then break end
  for _, id in ipairs(ids) do
    local r = load(id)
    if r and r.c[QUEUE] == queue and #found < limit then found[#found + 1] = id end
  end
  offset = offset + 500
end
for _, id in ipairs(found) do
  local r = load(id)
  if r and not FINAL[r.c[STATE]] then finish(r, 'revoked', 'purged') end
end
flush()
return #found
