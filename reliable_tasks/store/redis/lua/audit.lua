-- A page of the audit trail, oldest first.
-- KEYS[1] '{ns}:'
-- ARGV    first stream id ('-', or '(<id>' = after that one), how many
-- Returns {stream id, {name, value, ...}, ...}.

local reply = {}
local rows = redis.call('XRANGE', KEYS[1] .. 'audit', ARGV[1], '+', 'COUNT', ARGV[2])
for _, row in ipairs(rows) do
  reply[#reply + 1] = row[1]
  reply[#reply + 1] = row[2]
end
return reply
