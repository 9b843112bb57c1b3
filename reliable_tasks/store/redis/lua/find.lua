-- A page of the ids of records, with what decides whether they are wanted.
-- KEYS[1] '{ns}:'
-- ARGV    place (a sorted set, as keys.py has them), offset, how many
-- Returns {id, c, m, ...}: c and m false where the record has gone.

local reply = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1] .. ARGV[1], ARGV[2], ARGV[2] + ARGV[3] - 1)) do
  local got = redis.pcall('HMGET', KEYS[1] .. 'm:' .. id, 'c', 'm')
  reply[#reply + 1] = id
  reply[#reply + 1] = not got.err and got[1]
  reply[#reply + 1] = not got.err and got[2]
end
return reply
