-- Built of await.lua by `python -m tests.lua.build`.
local F = { control_of = false, is_ours = false, is_record = false, read_records = false }
-- decode.lua
local FINAL = { succeeded = true, failed = true, revoked = true }
local NO_PAYLOAD = '\194'
function F.is_record(packed)
  local kind = string.byte(packed) or 0
  return kind == 147 or kind >= 5 and kind <= 8
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
  local kind, head = string.byte(packed), 0
  if kind == 147 then
    local offset, c = cmsgpack.unpack_one(packed, 1)
    return c, string.sub(packed, offset + 1)
  end
  local fence, size
  if kind ~= 5 then
    fence, size = struct.unpack('>I8I2', packed, 2)
    head = 11 + size
  end
  local place = head + struct.unpack('>I4', packed, head + 2) + 1
  local offset, c = cmsgpack.unpack_one(packed, head + 13)
  local m, place_of_p = string.sub(packed, offset + 1, place - 1), place + 16
  c[12], c[9] = struct.unpack('>I8I8', packed, place)
  c[22] = #packed - place_of_p + 1
  if kind == 5 then return c, m .. string.sub(packed, place_of_p) end
  local stamp = cmsgpack.unpack(string.sub(packed, 11 + 1, head))
  c[1], c[2], c[7], c[5] = 'running', c[2] + 1, fence, c[5] + 1
  c[10], c[11], c[16] = stamp[1], stamp[2], stamp[3]
  c[15] = c[15] or stamp[3]
  if kind == 6 then return c, m .. string.sub(packed, place_of_p) end
  c[1], c[2], c[3], c[8] = 'succeeded', c[2] + 1, '', fence
  c[10], c[13], c[17] = false, false, struct.unpack('>I8', packed, place_of_p)
  c[21] = kind == 7 and string.sub(packed, place_of_p + 8)
  c[22] = 1
  return c, m .. NO_PAYLOAD
end
return F[missed]
end })
-- reading.lua
function F.control_of(packed)
  local readable, c = pcall(function() return F.decode(packed) end)
  return readable and c or { [1] = 'failed', [2] = 1 }
end
function F.read_records(ids)
  local names, start = {}, KEYS[1] .. 'm:'
  for index, id in ipairs(ids) do names[index] = start .. id end
  local found = names[1] and redis.call('MGET', unpack(names)) or {}
  for index, packed in ipairs(found) do found[index] = packed and F.is_ours(packed) and packed end
  return found
end
-- await.lua
local packed = F.read_records({ ARGV[2] })[1]
if packed and FINAL[F.control_of(packed)[1]] then return packed end
redis.call('SET', KEYS[1] .. 'awaited', '1', 'PX', ARGV[1])
return false
