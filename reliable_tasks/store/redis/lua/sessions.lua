-- A page of the sessions that are known.
-- KEYS[1] '{ns}:'
-- ARGV    end of lease and id after which it begins ('' = at the beginning), how many
-- Returns {id, lease until, claims, info, ...}; one whose lease is renewed meanwhile comes again.
-- @include paging.lua

local reply = {}
local found = page_after(KEYS[1] .. 'sessions', ARGV[1], ARGV[2], ARGV[3])
for index = 1, #found, 2 do
  local id = found[index]
  reply[#reply + 1] = id
  reply[#reply + 1] = found[index + 1]
  reply[#reply + 1] = redis.call('ZCARD', KEYS[1] .. 'claims:' .. id)
  reply[#reply + 1] = redis.call('HGET', KEYS[1] .. 'info', id)
end
return reply
