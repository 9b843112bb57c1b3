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
  local kind, first = string.byte(packed), 2
  local fence, place_of_p, size, _, seq, enqueued, offset, c
  if kind == IS_ARRAY then
    offset, c = cmsgpack.unpack_one(packed, 1)
    return c, string.sub(packed, offset + 1)
  elseif kind == IS_QUEUED then
    place_of_p, _, first = struct.unpack('>I4I8', packed, first)
  else
    fence, place_of_p, _, size, first = struct.unpack('>I8I4I8I2', packed, first)
    first = first + size
  end
  seq, enqueued, offset = struct.unpack('>I8I8', packed, first)
  offset, c = cmsgpack.unpack_one(packed, offset)
  c[SEQ], c[ENQUEUED] = seq, enqueued
  if kind == IS_QUEUED then return c, string.sub(packed, offset + 1) end
  local stamp = cmsgpack.unpack(string.sub(packed, first - size, first - 1))
  c[STATE], c[VERSION], c[FENCE], c[DELIVERY] = 'running', c[VERSION] + 1, fence, c[DELIVERY] + 1
  c[SESSION], c[WORKER], c[STARTED] = stamp[STAMP_SESSION], stamp[STAMP_WORKER], stamp[STAMP_STARTED]
  c[FIRST] = c[FIRST] or stamp[STAMP_STARTED]
  if kind == IS_CLAIMED then return c, string.sub(packed, offset + 1) end
  c[STATE], c[VERSION], c[REASON], c[COMMITTED] = 'succeeded', c[VERSION] + 1, '', fence
  c[SESSION], c[DUE], c[ENDED] = false, false, struct.unpack('>I8', packed, place_of_p)
  c[RESULT] = kind == IS_SUCCEEDED and string.sub(packed, place_of_p + 8)
  c[SIZE_OF_P] = 1
  return c, string.sub(packed, offset + 1, place_of_p - 1) .. NO_PAYLOAD
end

-- @end
