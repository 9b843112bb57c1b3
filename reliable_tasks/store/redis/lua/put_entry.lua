-- Create or change a schedule entry.
-- KEYS[1] '{ns}:'
-- ARGV    name, expected version ('' = any, -1 = absent), slots (msgpack [version, next, last,
--         last_id, runs, missed, paused]), template (opaque)
-- Returns 1, or 0 where the version is another.

local prefix, name = KEYS[1], ARGV[1]
local old = redis.call('HGET', prefix .. 'entries', name)
local version = old and cmsgpack.unpack(old)[1] or -1
if ARGV[2] ~= '' and tonumber(ARGV[2]) ~= version then return 0 end
local slots = cmsgpack.unpack(ARGV[3])
slots[1] = math.max(version, 0) + 1
redis.call('HSET', prefix .. 'entries', name, cmsgpack.pack(slots))
redis.call('HSET', prefix .. 'templates', name, ARGV[4])
redis.call('INCR', prefix .. 'entriesversion')
redis.call('PUBLISH', prefix .. 'entries', name)
return 1
