-- Note that somebody waits for changes of messages, unless one has changed already.
-- KEYS[1] '{ns}:'
-- ARGV    how long the note lasts (ms), id, version seen (-1 = unknown), ...
-- Returns 1 where one has another version than the one seen, else 0.
-- @include reading.lua

for index = 2, #ARGV, 2 do
  local packed = read_records({ ARGV[index] })[1]
  local version = packed and unpack_control(packed)[2] or -1
  if version ~= tonumber(ARGV[index + 1]) then return 1 end
end
redis.call('SET', KEYS[1] .. 'watched', '1', 'PX', ARGV[1])
return 0
