-- Built of audit.lua by `python -m tests.lua.build`.
-- audit.lua
local reply = {}
local rows = redis.call('XRANGE', KEYS[1] .. 'audit', ARGV[1], '+', 'COUNT', ARGV[2])
for _, row in ipairs(rows) do
  reply[#reply + 1] = row[1]
  reply[#reply + 1] = row[2]
end
return reply
