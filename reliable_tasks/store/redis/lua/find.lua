-- A page of the ids of records, with what decides whether they are wanted.
-- KEYS[1] '{ns}:'
-- ARGV    place (a sorted set, as keys.py has them), offset, how many
-- Returns {id, record, ...}: false where the record has gone.
-- @include reading.lua

local ids = redis.call('ZRANGE', KEYS[1] .. ARGV[1], ARGV[2], ARGV[2] + ARGV[3] - 1)
local reply = {}
for index, packed in ipairs(read_records(ids)) do
  reply[2 * index - 1], reply[2 * index] = ids[index], packed
end
return reply
