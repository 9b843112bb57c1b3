-- How many messages stand where.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode
-- Returns {succeeded, failed, revoked, dead, '<state>:<queue>', number, ...}.
-- @include inbox.lua

if absorb_all() > 0 then return MORE end
local reply = {}
for index, state in ipairs({ 'succeeded', 'failed', 'revoked' }) do
  reply[index] = redis.call('ZCARD', prefix .. 'ended:' .. state)
end
reply[4] = redis.call('ZCARD', prefix .. 'dead')
for _, value in ipairs(redis.call('HGETALL', prefix .. 'counts')) do reply[#reply + 1] = value end
return reply
