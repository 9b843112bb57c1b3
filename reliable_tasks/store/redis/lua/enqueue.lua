-- Store messages, taking their once-locks.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, rows (msgpack, see `store` in storing.lua),
--         stage ('' = none), seal ('1'), the stage's deadline in ms from now, limit of the opening,
--         a message that is in the stage ('' = none is known)
-- Returns {-1} where that one is gone, else {held, then index, kind, holder, countdown_ms for each message not simply created}.
-- @include storing.lua

if ARGV[8] ~= '' and not load(ARGV[8]) then return { -1 } end
local stage = ARGV[4] ~= '' and ARGV[4] or nil
return store_batch(cmsgpack.unpack(ARGV[3]), stage, ARGV[5] == '1', now + ARGV[6], tonumber(ARGV[7]))
