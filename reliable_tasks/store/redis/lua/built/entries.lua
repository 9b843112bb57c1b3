-- Built of entries.lua by `python -m tests.lua.build`.
-- entries.lua
local reply = { redis.call('GET', KEYS[1] .. 'entriesversion') or '0' }
local slots = redis.call('HGETALL', KEYS[1] .. 'entries')
for index = 1, #slots, 2 do
  local template = redis.call('HGET', KEYS[1] .. 'templates', slots[index])
  if template then
    reply[#reply + 1] = slots[index]
    reply[#reply + 1] = slots[index + 1]
    reply[#reply + 1] = template
  end
end
return reply
