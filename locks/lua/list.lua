-- A page of the names of a namespace's locks and semaphores.
-- KEYS[1] '{ns}:'
-- ARGV    cursor ('0' begins), pattern for '<ns>:*' with the namespace's special letters escaped
-- Returns {next cursor ('0' = the end), key after the prefix, ...}; a key may come twice.

local page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 500)
local reply = { page[1] }
for _, key in ipairs(page[2]) do
  local rest = string.sub(key, #KEYS[1] + 1)
  if string.find(rest, '^lock:') or string.find(rest, '^sem:') then reply[#reply + 1] = rest end
end
return reply
