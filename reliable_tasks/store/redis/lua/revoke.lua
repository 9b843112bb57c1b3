-- End messages that have not started; flag those that run.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, signal ('' = do not stop what runs), ids ...
-- Returns {"revoked", "running", "ended" or "unknown", ...}.
-- @include inbox.lua
-- @include transitions.lua

if absorb_all() > 0 then return MORE end

local function revoke(id, signal)
  local r = load(id)
  if not r then return 'unknown' end
  if FINAL[r.c[STATE]] then return 'ended' end
  if r.c[STATE] ~= 'running' then
    finish(r, 'revoked', 'revoked')
    return 'revoked'
  end
  set_extra(r, 'revoked', signal ~= '' and signal or r.x.revoked or '')
  if signal ~= '' then defer('SADD', prefix .. 'stops:' .. r.c[SESSION], id) end
  return 'running'
end

local reply = {}
for index = 4, #ARGV do reply[index - 3] = revoke(ARGV[index], ARGV[3]) end
flush()
return reply
