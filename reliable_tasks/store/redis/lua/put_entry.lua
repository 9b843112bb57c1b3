-- Create or change a schedule entry.
-- KEYS[1] '{ns}:'
-- ARGV    name, expected version ('' = any, -1 = absent), slots (msgpack [version, next, last,
--         last_id, runs, missed, paused]), template (opaque)
-- Returns 1, or 0 where the version is another, or where the entry has fired since that version was
--         read: its runs or missed slots are not those that are given.
-- @include fields.lua

local prefix, name = KEYS[1], ARGV[1]
local old = redis.call('HGET', prefix .. 'entries', name)
if not redis.call('HGET', prefix .. 'templates', name) then old = nil end -- see entries.lua
local before, slots = old and cmsgpack.unpack(old) or { -1 }, cmsgpack.unpack(ARGV[3])
local version = before[SLOT_VERSION]
if ARGV[2] ~= '' then
  if tonumber(ARGV[2]) ~= version then return 0 end
  if old and (before[SLOT_RUNS] ~= slots[SLOT_RUNS] or before[SLOT_MISSED] ~= slots[SLOT_MISSED]) then
    return 0
  end
end
slots[SLOT_VERSION] = math.max(version, 0) + 1
redis.call('HSET', prefix .. 'entries', name, cmsgpack.pack(slots))
redis.call('HSET', prefix .. 'templates', name, ARGV[4])
redis.call('INCR', prefix .. 'entriesversion')
redis.call('PUBLISH', prefix .. 'entries', name)
return 1
