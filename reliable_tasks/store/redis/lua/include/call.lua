-- The arguments of every call. KEYS[1] is '{ns}:'; ARGV[1] is now (ms; '' = server time), ARGV[2] the
-- audit mode.
-- @include clock.lua

local prefix, now, audit_all = KEYS[1], clock_now(ARGV[1]), ARGV[2] == 'all'
