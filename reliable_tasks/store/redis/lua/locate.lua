-- Locate a record, and list the places where records may be.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, id ('' = none)
-- Returns {its place or '', its rank there, sessions ..., '', '<state>:<queue>' counted ...}.
-- @include inbox.lua
-- @include reading.lua

if absorb_all() > 0 then return MORE end
local id = ARGV[3]
local reply = { '', 0 }
for _, session in ipairs(redis.call('ZRANGE', prefix .. 'sessions', 0, -1)) do
  reply[#reply + 1] = session
end
reply[#reply + 1] = ''
for _, name in ipairs(redis.call('HKEYS', prefix .. 'counts')) do reply[#reply + 1] = name end

local packed = id ~= '' and read_records({ id })[1]
if not packed then return reply end
local c = decode(packed)
local state = c[STATE]
local place = state
if state == 'queued' then
  place = 'q:' .. c[QUEUE]
elseif state == 'running' then
  place = 'claims:' .. c[SESSION]
elseif state == 'succeeded' or state == 'failed' or state == 'revoked' then
  place = 'ended:' .. state
end
reply[1] = place
reply[2] = redis.call('ZRANK', prefix .. place, id) or 0
return reply
