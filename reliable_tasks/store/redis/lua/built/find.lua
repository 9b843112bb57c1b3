-- Built of find.lua by `python -m tests.lua.build`.
local F = { is_behind = false, is_ours = false, page_after = false, payload_apart = false, rank_after = false, read_records = false }
-- paging.lua
function F.is_behind(one, other)
  for index = 1, math.min(#one, #other) do
    local a, b = string.byte(one, index), string.byte(other, index)
    if a ~= b then return a > b end
  end
  return #one > #other
end
function F.rank_after(key, score, member)
  if score == '' then return 0 end
  if redis.call('ZSCORE', key, member) == score then return redis.call('ZRANK', key, member) + 1 end
  local low = redis.call('ZCOUNT', key, '-inf', '(' .. score)
  local high = low + redis.call('ZCOUNT', key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if F.is_behind(redis.call('ZRANGE', key, middle, middle)[1], member) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end
function F.page_after(key, score, member, most)
  local first = F.rank_after(key, score, member)
  return redis.call('ZRANGE', key, first, first + most - 1, 'WITHSCORES')
end
-- decode.lua
function F.is_ours(packed)
  local kind = string.byte(packed) or 0
  return kind > 0 and kind < 32 or kind == 147
end
-- reading.lua
function F.read_records(ids)
  local names, start = {}, KEYS[1] .. 'm:'
  for index, id in ipairs(ids) do names[index] = start .. id end
  local found = names[1] and redis.call('MGET', unpack(names)) or {}
  for index, packed in ipairs(found) do found[index] = packed and F.is_ours(packed) and packed end
  return found
end
function F.payload_apart(packed, id)
  return packed and string.byte(packed) == 147 and redis.call('GET', KEYS[1] .. 'p:' .. id)
end
-- find.lua
local most, left = tonumber(ARGV[3]), 4194304
local page = F.page_after(KEYS[1] .. ARGV[1], ARGV[4], ARGV[5], most)
local reply, looked_at = { 0 }, 0
while looked_at < #page and left > 0 do
  local ids, last = {}, math.min(looked_at + 2 * 20, #page)
  for index = looked_at + 1, last, 2 do ids[#ids + 1] = page[index] end
  for index, packed in ipairs(F.read_records(ids)) do
    local apart, size = ARGV[2] == '1' and F.payload_apart(packed, ids[index]), #reply
    reply[size + 1], reply[size + 2] = page[looked_at + 2 * index], ids[index]
    reply[size + 3], reply[size + 4] = packed, apart
    left = left - (packed and #packed or 0) - (apart and #apart or 0)
  end
  looked_at = last
end
if looked_at < #page or #page == 2 * most then reply[1] = 1 end
return reply
