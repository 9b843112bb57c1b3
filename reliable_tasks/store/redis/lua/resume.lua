-- Follow edges of ended messages that were too many for one script.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode
-- Returns how many parts are left.
-- @include inbox.lua
-- @include transitions.lua

absorb_all()
return resume()
