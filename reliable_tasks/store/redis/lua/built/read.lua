-- Built of read.lua by `python -m tests.lua.build`.
local F = { is_ours = false, read_records = false }
-- decode.lua
function F.is_ours(packed)
  local kind = string.byte(packed) or 0
  return kind > 0 and kind < 32 or kind == 147
end
-- reading.lua
function F.read_records(ids)
  local found = {}
  for index, id in ipairs(ids) do
    local packed = redis.pcall('GET', KEYS[1] .. 'm:' .. id)
    found[index] = type(packed) == 'string' and F.is_ours(packed) and packed
  end
  return found
end
-- read.lua
local ids, reply = {}, {}
for index = 2, #ARGV do ids[index - 1] = ARGV[index] end
for index, packed in ipairs(F.read_records(ids)) do
  local apart = packed and ARGV[1] == '1' and redis.call('GET', KEYS[1] .. 'p:' .. ids[index])
  reply[2 * index - 1], reply[2 * index] = packed, apart
end
return reply
