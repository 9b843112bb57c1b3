-- Built of find.lua by `python -m tests.lua.build`.
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
-- find.lua
local ids = redis.call('ZRANGE', KEYS[1] .. ARGV[1], ARGV[2], ARGV[2] + ARGV[3] - 1)
local reply = {}
for index, packed in ipairs(F.read_records(ids)) do
  reply[2 * index - 1], reply[2 * index] = ids[index], packed
end
return reply
