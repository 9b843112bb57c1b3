-- Give back, uncounted, what a session holds. Call again while there is more.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, session, limit
-- Returns {how many were given back, whether there is more (0 or 1)}.
-- @include inbox.lua
-- @include sessions.lua

absorb_all()
local session, limit = ARGV[3], tonumber(ARGV[4])
local ids = claims_of(session, limit)
for _, id in ipairs(ids) do
  local r = load(id)
  if r and r.c[STATE] == 'running' then -- else it could not be read, and is set aside
    end_attempt(r)
    uncount(r)
    audit('released', r)
    if r.x.revoked then finish(r, 'revoked', 'revoked') else queue_again(r, false, true) end
  else
    defer('ZREM', prefix .. 'claims:' .. session, id)
  end
end
flush()
if #ids == limit then return { #ids, 1 } end
forget_session(session)
return { #ids, 0 }
