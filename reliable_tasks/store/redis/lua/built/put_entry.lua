-- Built of put_entry.lua by `python -m tests.lua.build`.
-- put_entry.lua
local prefix, name = KEYS[1], ARGV[1]
local old = redis.call('HGET', prefix .. 'entries', name)
if not redis.call('HGET', prefix .. 'templates', name) then old = nil end
local before, slots = old and cmsgpack.unpack(old) or { -1 }, cmsgpack.unpack(ARGV[3])
local version = before[1]
if ARGV[2] ~= '' then
  if tonumber(ARGV[2]) ~= version then return 0 end
  if old and (before[5] ~= slots[5] or before[6] ~= slots[6]) then
    return 0
  end
end
slots[1] = math.max(version, 0) + 1
redis.call('HSET', prefix .. 'entries', name, cmsgpack.pack(slots))
redis.call('HSET', prefix .. 'templates', name, ARGV[4])
redis.call('INCR', prefix .. 'entriesversion')
redis.call('PUBLISH', prefix .. 'entries', name)
return 1
