-- Go on with what an ending does to those that wait for it, where it was too much for one script.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode
-- Returns how many parts are left.
-- @include transitions.lua

return resume()
