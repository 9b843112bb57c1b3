-- Free a once-lock by hand.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, name, owner
-- Returns 1 where the owner held it, else 0.
-- @include inbox.lua
-- @include transitions.lua

absorb_all()
if not free_lock(ARGV[3], ARGV[4]) then return 0 end
audit_id('unlocked', ARGV[4], '')
flush()
return 1
