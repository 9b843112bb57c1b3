-- A page of the records at a place.
-- KEYS[1] '{ns}:'
-- ARGV    place (a sorted set, as keys.py has them), full ('1': payloads that lie apart as well), how
--         many, score and id after which it begins ('' = at the beginning)
-- Returns {whether there may be more, score, id, record, payload if it lies apart, ...}: false where
--         the record has gone.
-- @include paging.lua
-- @include reading.lua

local most, left = tonumber(ARGV[3]), BYTES_AT_ONCE
local page = page_after(KEYS[1] .. ARGV[1], ARGV[4], ARGV[5], most)
local reply, looked_at = { 0 }, 0
while looked_at < #page and left > 0 do
  local ids, last = {}, math.min(looked_at + 2 * READ_AT_ONCE, #page)
  for index = looked_at + 1, last, 2 do ids[#ids + 1] = page[index] end
  for index, packed in ipairs(read_records(ids)) do
    local apart, size = ARGV[2] == '1' and payload_apart(packed, ids[index]), #reply
    reply[size + 1], reply[size + 2] = page[looked_at + 2 * index], ids[index]
    reply[size + 3], reply[size + 4] = packed, apart
    left = left - (packed and #packed or 0) - (apart and #apart or 0)
  end
  looked_at = last
end
if looked_at < #page or #page == 2 * most then reply[1] = 1 end
return reply
