-- Note that somebody waits for messages to change or to end, unless one has already.
-- KEYS[1] '{ns}:'
-- ARGV    how long the note lasts (ms), id, version seen (-1 = unknown; '' = all of them are waited
--         for to end), ...
-- Returns 1 where one has another version than the one seen, or has ended; else 0.
-- @include reading.lua

for index = 2, #ARGV, 2 do
  local packed = read_records({ ARGV[index] })[1]
  local c = packed and control_of(packed) or { 'unknown', -1 }
  local seen = tonumber(ARGV[index + 1])
  if seen and c[VERSION] ~= seen or not seen and FINAL[c[STATE]] then return 1 end
end
local note = KEYS[1] .. (ARGV[3] == '' and 'awaited' or 'watched')
redis.call('SET', note, '1', 'PX', ARGV[1])
return 0
