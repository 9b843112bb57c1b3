-- Built of watch.lua by `python -m tests.lua.build`.
local F = { control_of = false, is_ours = false, is_record = false, read_records = false }
-- decode.lua
local FINAL = { succeeded = true, failed = true, revoked = true }
local NO_PAYLOAD = '\194'
function F.is_record(packed)
  local kind = string.byte(packed) or 0
  return kind == 147 or kind >= 1 and kind <= 4
end
function F.is_ours(packed)
  local kind = string.byte(packed) or 0
  return kind > 0 and kind < 32 or kind == 147
end
setmetatable(F, { __index = function(_, missed)
setmetatable(F, nil)
-- decode.lua
function F.decode(packed)
  if not F.is_record(packed) then return nil end
  local kind, first = string.byte(packed), 2
  local fence, place_of_p, size, _, seq, enqueued, offset, c
  if kind == 147 then
    offset, c = cmsgpack.unpack_one(packed, 1)
    return c, string.sub(packed, offset + 1)
  elseif kind == 1 then
    place_of_p, _, first = struct.unpack('>I4I8', packed, first)
  else
    fence, place_of_p, _, size, first = struct.unpack('>I8I4I8I2', packed, first)
    first = first + size
  end
  seq, enqueued, offset = struct.unpack('>I8I8', packed, first)
  offset, c = cmsgpack.unpack_one(packed, offset)
  c[9], c[12] = seq, enqueued
  if kind == 1 then return c, string.sub(packed, offset + 1) end
  local stamp = cmsgpack.unpack(string.sub(packed, first - size, first - 1))
  c[1], c[2], c[7], c[5] = 'running', c[2] + 1, fence, c[5] + 1
  c[10], c[11], c[16] = stamp[1], stamp[2], stamp[3]
  c[15] = c[15] or stamp[3]
  if kind == 2 then return c, string.sub(packed, offset + 1) end
  c[1], c[2], c[3], c[8] = 'succeeded', c[2] + 1, '', fence
  c[10], c[13], c[17] = false, false, struct.unpack('>I8', packed, place_of_p)
  c[21] = kind == 3 and string.sub(packed, place_of_p + 8)
  c[22] = 1
  return c, string.sub(packed, offset + 1, place_of_p - 1) .. NO_PAYLOAD
end
return F[missed]
end })
-- reading.lua
function F.control_of(packed)
  local readable, c = pcall(function() return F.decode(packed) end)
  return readable and c or { [1] = 'failed', [2] = 1 }
end
function F.read_records(ids)
  local found = {}
  for index, id in ipairs(ids) do
    local packed = redis.pcall('GET', KEYS[1] .. 'm:' .. id)
    found[index] = type(packed) == 'string' and F.is_ours(packed) and packed
  end
  return found
end
-- watch.lua
for index = 2, #ARGV, 2 do
  local packed = F.read_records({ ARGV[index] })[1]
  local c = packed and F.control_of(packed) or { 'unknown', -1 }
  local seen = tonumber(ARGV[index + 1])
  if seen and c[2] ~= seen or not seen and FINAL[c[1]] then return 1 end
end
local note = KEYS[1] .. (ARGV[3] == '' and 'awaited' or 'watched')
redis.call('SET', note, '1', 'PX', ARGV[1])
return 0
