-- List the places where records may be.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode
-- Returns {sessions ..., '', '<state>:<queue>' counted ...}.
-- @include inbox.lua

if absorb_all() > 0 then return MORE end
local reply = redis.call('ZRANGE', prefix .. 'sessions', 0, -1)
reply[#reply + 1] = ''
for _, name in ipairs(redis.call('HKEYS', prefix .. 'counts')) do reply[#reply + 1] = name end
return reply
