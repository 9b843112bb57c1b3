-- Advance a schedule entry and enqueue its messages, if its next slot is still the expected one.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, rows, stage, seal, stage_ttl_ms, limit (all as enqueue's),
--         name, expected slots (msgpack [version, next]), new slots (msgpack [next, last, last_id,
--         runs, missed])
-- Returns as enqueue does; nothing where another was first.
-- @include inbox.lua
-- @include storing.lua

absorb_all()
local name = ARGV[8]
local packed = redis.call('HGET', prefix .. 'entries', name)
local slots = packed and cmsgpack.unpack(packed)
local expected = cmsgpack.unpack(ARGV[9])
if not slots or slots[SLOT_PAUSED] then return false end
if slots[SLOT_VERSION] ~= expected[SLOT_VERSION] or slots[SLOT_NEXT] ~= expected[SLOT_NEXT] then
  return false
end

for index, value in ipairs(cmsgpack.unpack(ARGV[10])) do slots[index + 1] = value end
defer('HSET', prefix .. 'entries', name, cmsgpack.pack(slots))
local rows, stage = cmsgpack.unpack(ARGV[3]), ARGV[4] ~= '' and ARGV[4] or nil
local reply = store_batch(rows, stage, ARGV[5] == '1', now + ARGV[6], tonumber(ARGV[7]))
if not reply.err then
  for _, row in ipairs(rows) do audit_id('fired', row[ROW_ID], cmsgpack.unpack(row[ROW_M])[TASK]) end
  flush()
end
return reply
