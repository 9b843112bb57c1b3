-- Built of audit.lua by `python -m tests.lua.build`.
local F = { all_rows = false, is_after = false, parts = false, place_after = false, rows_of = false }
-- audit.lua
local trail, id, before, count = KEYS[1] .. 'audit', ARGV[1], ARGV[2], tonumber(ARGV[3])
function F.parts(number)
  local ms, n = string.match(number, '(%d+)-(%d+)')
  return tonumber(ms), tonumber(n)
end
function F.is_after(number, other)
  local ms, n = F.parts(number)
  local other_ms, other_n = F.parts(other)
  return ms > other_ms or ms == other_ms and n > other_n
end
function F.place_after(list)
  local low, high = 0, before == '' and 0 or redis.call('LLEN', list)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if F.is_after(redis.call('LINDEX', list, middle), before) then high = middle else low = middle + 1 end
  end
  return low
end
function F.rows_of(list)
  local first, rows = F.place_after(list), {}
  for index, number in ipairs(redis.call('LRANGE', list, first, first + count - 1)) do
    rows[index] = redis.call('XRANGE', trail, number, number)[1] or { number, {} }
  end
  return rows
end
function F.all_rows()
  local first = before == '' and '-' or '(' .. before
  return redis.call('XRANGE', trail, first, '+', 'COUNT', count)
end
local rows, numbers, reply = id == '' and F.all_rows() or F.rows_of(trail .. ':' .. id), {}, {}
if not rows[1] then return reply end
for index, row in ipairs(rows) do numbers[index] = row[1] end
local again = redis.call('HMGET', KEYS[1] .. 'auditagain', unpack(numbers))
for index, row in ipairs(rows) do
  reply[3 * index - 2], reply[3 * index - 1], reply[3 * index] = row[1], row[2], again[index]
end
return reply
