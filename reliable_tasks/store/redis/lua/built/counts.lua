-- Built of counts.lua by `python -m tests.lua.build`.
-- counts.lua
local reply = {}
for index, state in ipairs({ 'succeeded', 'failed', 'revoked' }) do
  reply[index] = redis.call('ZCARD', KEYS[1] .. 'ended:' .. state)
end
reply[4] = redis.call('ZCARD', KEYS[1] .. 'dead')
for _, value in ipairs(redis.call('HGETALL', KEYS[1] .. 'counts')) do reply[#reply + 1] = value end
return reply
