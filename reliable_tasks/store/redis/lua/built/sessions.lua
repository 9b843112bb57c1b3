-- Built of sessions.lua by `python -m tests.lua.build`.
-- sessions.lua
local reply = {}
local found = redis.call('ZRANGE', KEYS[1] .. 'sessions', 0, ARGV[1] - 1, 'WITHSCORES')
for index = 1, #found, 2 do
  local id = found[index]
  reply[#reply + 1] = id
  reply[#reply + 1] = found[index + 1]
  reply[#reply + 1] = redis.call('ZCARD', KEYS[1] .. 'claims:' .. id)
  reply[#reply + 1] = redis.call('HGET', KEYS[1] .. 'info', id)
end
return reply
