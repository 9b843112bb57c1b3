-- Renew the leases of sessions that were not taken back; tell what they are to stop.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, lease_ms, sessions ...
-- Returns {{lost sessions}, {session, id, fence, signal, ...}, now}.
-- @include sessions.lua

local lost, commands = {}, {}

local function tell_stops(session)
  local key, found = prefix .. 'stops:' .. session, {}
  for _, id in ipairs(redis.call('SMEMBERS', key)) do
    local r = load(id)
    if r and r.c[SESSION] == session and r.x.revoked and r.x.revoked ~= '' then
      found[#found + 1] = r
    else
      redis.call('SREM', key, id)
    end
  end
  table.sort(found, function(a, b) return a.c[FENCE] < b.c[FENCE] end)
  for _, r in ipairs(found) do
    for _, part in ipairs({ session, r.id, r.c[FENCE], r.x.revoked }) do
      commands[#commands + 1] = part
    end
  end
end

for index = 4, #ARGV do
  local session = ARGV[index]
  if not redis.call('ZSCORE', prefix .. 'sessions', session) then
    lost[#lost + 1] = session
  else
    redis.call('ZADD', prefix .. 'sessions', now + ARGV[3], session)
    tell_stops(session)
  end
end
return { lost, commands, now }
