-- Read records.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, full ('1': payloads that lie apart as well), ids ...
-- Returns for each of the first ids, as far as one script may read, its record (false where there is
--         none) and its payload if that lies apart.
-- @include inbox.lua
-- @include reading.lua

if absorb_all() > 0 then return MORE end
local reply, left, at = {}, BYTES_AT_ONCE, 4
while at <= #ARGV and left > 0 do
  local ids = { unpack(ARGV, at, math.min(at + READ_AT_ONCE - 1, #ARGV)) }
  for index, packed in ipairs(read_records(ids)) do
    local apart = ARGV[3] == '1' and payload_apart(packed, ids[index])
    local size = #reply
    reply[size + 1], reply[size + 2] = packed, apart
    left = left - (packed and #packed or 0) - (apart and #apart or 0)
  end
  at = at + READ_AT_ONCE
end
return reply
