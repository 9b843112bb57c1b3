-- Decode records.
-- @include layout.lua

local FINAL = { succeeded = true, failed = true, revoked = true }
local NO_PAYLOAD = '\194'

-- Whether a string is a record as layout.lua describes it.
local function is_record(packed)
  local kind = string.byte(packed) or 0
  return kind == IS_ARRAY or kind >= IS_QUEUED and kind <= IS_SILENT
end

-- Whether it is one of ours, even if damaged or of a later layout.
local function is_ours(packed)
  local kind = string.byte(packed) or 0
  return kind > 0 and kind < 32 or kind == IS_ARRAY
end

-- @rare

-- Returns c, and m and p as they stand in the string; nil if it is no record.
local function decode(packed)
  if not is_record(packed) then return nil end
  local kind, head = string.byte(packed), 0
  if kind == IS_ARRAY then
    local offset, c = cmsgpack.unpack_one(packed, 1)
    return c, string.sub(packed, offset + 1)
  end
  local fence, size
  if kind ~= IS_QUEUED then
    fence, size = struct.unpack('>I8I2', packed, 2)
    head = CLAIMED_HEAD + size
  end
  local place = head + struct.unpack('>I4', packed, head + 2) + 1
  local offset, c = cmsgpack.unpack_one(packed, head + QUEUED_HEAD)
  local m, place_of_p = string.sub(packed, offset + 1, place - 1), place + PLACED
  c[ENQUEUED], c[SEQ] = struct.unpack('>I8I8', packed, place)
  c[SIZE_OF_P] = #packed - place_of_p + 1
  if kind == IS_QUEUED then return c, m .. string.sub(packed, place_of_p) end
  local stamp = cmsgpack.unpack(string.sub(packed, CLAIMED_HEAD + 1, head))
  c[STATE], c[VERSION], c[FENCE], c[DELIVERY] = 'running', c[VERSION] + 1, fence, c[DELIVERY] + 1
  c[SESSION], c[WORKER], c[STARTED] = stamp[STAMP_SESSION], stamp[STAMP_WORKER], stamp[STAMP_STARTED]
  c[FIRST] = c[FIRST] or stamp[STAMP_STARTED]
  if kind == IS_CLAIMED then return c, m .. string.sub(packed, place_of_p) end
  c[STATE], c[VERSION], c[REASON], c[COMMITTED] = 'succeeded', c[VERSION] + 1, '', fence
  c[SESSION], c[DUE], c[ENDED] = false, false, struct.unpack('>I8', packed, place_of_p)
  c[RESULT] = kind == IS_SUCCEEDED and string.sub(packed, place_of_p + 8)
  c[SIZE_OF_P] = 1
  return c, m .. NO_PAYLOAD
end

-- @end
