-- Store messages, taking their once-locks.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, rows (msgpack, see `store` in storing.lua),
--         stage ('' = none), seal ('1'), the stage's deadline in ms from now, limit of the opening
-- Returns {held, then index, kind, holder, countdown_ms for each message not simply created}.
-- @include storing.lua

local stage = ARGV[4] ~= '' and ARGV[4] or nil
return store_batch(cmsgpack.unpack(ARGV[3]), stage, ARGV[5] == '1', now + ARGV[6], tonumber(ARGV[7]))
