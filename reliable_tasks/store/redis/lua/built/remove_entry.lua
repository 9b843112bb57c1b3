-- Built of remove_entry.lua by `python -m tests.lua.build`.
-- remove_entry.lua
local prefix, name = KEYS[1], ARGV[1]
if redis.call('HDEL', prefix .. 'entries', name) == 0 then return 0 end
redis.call('HDEL', prefix .. 'templates', name)
redis.call('INCR', prefix .. 'entriesversion')
redis.call('PUBLISH', prefix .. 'entries', name)
return 1
