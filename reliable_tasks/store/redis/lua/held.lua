-- The claims that a session holds.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, session, limit
-- Returns {id, record, payload, inputs, ...} as exchange has them.
-- @include sessions.lua

local reply = {}
for _, id in ipairs(claims_of(ARGV[3], tonumber(ARGV[4]))) do
  local r = load(id)
  if r then fill_in(reply, #reply + 1, r) end
end
return reply
