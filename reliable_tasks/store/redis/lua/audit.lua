-- A page of the audit trail, oldest first.
-- KEYS[1] '{ns}:'
-- ARGV    id of a message ('' = all rows), the number of the row before ('' = from the first), how many
-- Returns {number, {name, value, ...}, how often more it happened and when last (false = once), ...}. A
-- message's row that has gone has no values.

local trail, id, before, count = KEYS[1] .. 'audit', ARGV[1], ARGV[2], tonumber(ARGV[3])

local function parts(number)
  local ms, n = string.match(number, '(%d+)-(%d+)')
  return tonumber(ms), tonumber(n)
end

local function is_after(number, other)
  local ms, n = parts(number)
  local other_ms, other_n = parts(other)
  return ms > other_ms or ms == other_ms and n > other_n
end

-- The place in a message's list of the first row after `before`.
local function place_after(list)
  local low, high = 0, before == '' and 0 or redis.call('LLEN', list)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_after(redis.call('LINDEX', list, middle), before) then high = middle else low = middle + 1 end
  end
  return low
end

local function rows_of(list)
  local first, rows = place_after(list), {}
  for index, number in ipairs(redis.call('LRANGE', list, first, first + count - 1)) do
    rows[index] = redis.call('XRANGE', trail, number, number)[1] or { number, {} }
  end
  return rows
end

local function all_rows()
  local first = before == '' and '-' or '(' .. before
  return redis.call('XRANGE', trail, first, '+', 'COUNT', count)
end

local rows, numbers, reply = id == '' and all_rows() or rows_of(trail .. ':' .. id), {}, {}
if not rows[1] then return reply end
for index, row in ipairs(rows) do numbers[index] = row[1] end
local again = redis.call('HMGET', KEYS[1] .. 'auditagain', unpack(numbers))
for index, row in ipairs(rows) do
  reply[3 * index - 2], reply[3 * index - 1], reply[3 * index] = row[1], row[2], again[index]
end
return reply
