-- Read records.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, full ('1': payloads that lie apart as well), ids ...
-- Returns for each its record (false where there is none) and its payload if that lies apart.
-- @include inbox.lua
-- @include reading.lua

if absorb_all() > 0 then return MORE end
local ids, reply = {}, {}
for index = 4, #ARGV do ids[index - 3] = ARGV[index] end
for index, packed in ipairs(read_records(ids)) do
  local apart = packed and ARGV[3] == '1' and redis.call('GET', KEYS[1] .. 'p:' .. ids[index])
  reply[2 * index - 1], reply[2 * index] = packed, apart
end
return reply
