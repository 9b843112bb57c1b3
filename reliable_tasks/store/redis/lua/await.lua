-- A record that has ended; or else note that somebody waits for that.
-- KEYS[1] '{ns}:'
-- ARGV    how long the note lasts (ms), id
-- Returns the record; nothing where there is none or it has not ended.
-- @include reading.lua

local packed = read_records({ ARGV[2] })[1]
if packed and FINAL[control_of(packed)[STATE]] then return packed end
redis.call('SET', KEYS[1] .. 'awaited', '1', 'PX', ARGV[1])
return false
