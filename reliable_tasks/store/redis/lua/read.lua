-- Read records.
-- KEYS[1] '{ns}:'
-- ARGV    full ('1': payload and headers as well), ids ...
-- Returns for each {} or {c, m, x, result, failure, state, meta[, payload, headers]}.

local reply = {}
for index = 2, #ARGV do
  local key = KEYS[1] .. 'm:' .. ARGV[index]
  local got
  if ARGV[1] == '1' then
    got = redis.pcall('HMGET', key, 'c', 'm', 'x', 'r', 'f', 's', 'g', 'p', 'h')
  else
    got = redis.pcall('HMGET', key, 'c', 'm', 'x', 'r', 'f', 's', 'g')
  end
  reply[index - 1] = not got.err and got[1] and got or {}
end
return reply
