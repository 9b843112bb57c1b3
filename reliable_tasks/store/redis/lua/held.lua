-- The claims that a session holds, a page of them.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, session, the fence after which to go on, limit
-- Returns {the last fence, id, record, payload, inputs, ...} as exchange has them; nothing where
-- there are no more.
-- @include sessions.lua

local found = redis.call('ZRANGEBYSCORE', prefix .. 'claims:' .. ARGV[3], '(' .. ARGV[4], '+inf',
  'WITHSCORES', 'LIMIT', 0, ARGV[5])
if not found[1] then return {} end
local reply, handed = {}, 0
for index = 1, #found, 2 do
  local r = load(found[index])
  reply[1] = tonumber(found[index + 1])
  if r then
    handed = handed + weigh(r)
    fill_in(reply, #reply + 1, r)
  end
  if handed >= HANDED_AT_ONCE then break end
end
return reply
