-- Built of user_locks.lua by `python -m tests.lua.build`.
local F = { add_locks = false, clock_now = false }
-- clock.lua
function F.clock_now(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
setmetatable(F, { __index = function(_, missed)
setmetatable(F, nil)
-- lock.lua
function F.lock_owner(prefix, name, now)
  local record = redis.call('HMGET', prefix .. 'lock:' .. name, 'owner', 'fence', 'since', 'until')
  if not record[1] then return nil end
  local until_ms = tonumber(record[4])
  if until_ms > 0 and until_ms <= now then return nil end
  return {
    owner = record[1], fence = tonumber(record[2]), since = tonumber(record[3]),
    until_ms = until_ms,
  }
end
return F[missed]
end })
-- listing.lua
function F.add_locks(reply, names, now, parked)
  for _, name in ipairs(names) do
    local lock = F.lock_owner(KEYS[1], name, now)
    if lock then
      local ids = redis.call('LRANGE', KEYS[1] .. 'parked:' .. name, 0, parked - 1)
      for _, part in ipairs({ name, lock.owner, lock.fence, lock.since, lock.until_ms, ids }) do
        reply[#reply + 1] = part
      end
    end
  end
end
-- user_locks.lua
local page = redis.call('SCAN', ARGV[4], 'MATCH', ARGV[5], 'COUNT', ARGV[3])
local reply, names = { page[1] }, {}
for _, key in ipairs(page[2]) do
  local name = string.sub(key, #KEYS[1] + 6)
  if not redis.call('ZSCORE', KEYS[1] .. 'locks', name) then names[#names + 1] = name end
end
F.add_locks(reply, names, F.clock_now(ARGV[1]), ARGV[2])
return reply
