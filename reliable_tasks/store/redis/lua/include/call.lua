-- The arguments of every call. KEYS[1] is '{ns}:'; ARGV[1] is now (ms; '' = server time), ARGV[2] the
-- audit mode: which transitions are told of, and the bounds of the trail in rows and bytes, 0 = none.
-- @include clock.lua

local prefix, now, audit_all = KEYS[1], clock_now(ARGV[1]), string.sub(ARGV[2], 1, 3) == 'all'
