-- Record the progress of a running body.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, id, fence, state, meta
-- Returns 1, or 0 where the claim is not the latest one.
-- @include write.lua

local r = load(ARGV[3])
if not r or r.c[STATE] ~= 'running' or r.c[FENCE] ~= tonumber(ARGV[4]) then return 0 end
set_extra(r, 'progress', ARGV[5])
set_extra(r, 'meta', ARGV[6])
changed(r)
flush()
return 1
