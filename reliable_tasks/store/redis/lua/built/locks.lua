-- Built of locks.lua by `python -m tests.lua.build`.
local F = { clock_now = false }
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
-- locks.lua
local prefix, now, limit, names = KEYS[1], F.clock_now(ARGV[1]), tonumber(ARGV[2]), {}
for index = 3, #ARGV do names[#names + 1] = ARGV[index] end
if not names[1] then names = redis.call('ZRANGE', prefix .. 'locks', 0, limit - 1) end
local reply = {}
for _, name in ipairs(names) do
  local lock = F.lock_owner(prefix, name, now)
  if lock then
    local ids = redis.call('LRANGE', prefix .. 'parked:' .. name, 0, limit - 1)
    for _, part in ipairs({ name, lock.owner, lock.fence, lock.since, lock.until_ms, ids }) do
      reply[#reply + 1] = part
    end
  end
end
return reply
