-- Read records.
-- KEYS[1] '{ns}:'
-- ARGV    full ('1': payloads that lie apart as well), ids ...
-- Returns for each its record (false where there is none) and its payload if that lies apart.
-- @include reading.lua

local ids, reply = {}, {}
for index = 2, #ARGV do ids[index - 1] = ARGV[index] end
for index, packed in ipairs(read_records(ids)) do
  local apart = packed and ARGV[1] == '1' and redis.call('GET', KEYS[1] .. 'p:' .. ids[index])
  reply[2 * index - 1], reply[2 * index] = packed, apart
end
return reply
