-- Built of sessions.lua by `python -m tests.lua.build`.
local F = { is_behind = false, page_after = false, rank_after = false }
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
-- sessions.lua
local reply = {}
local found = F.page_after(KEYS[1] .. 'sessions', ARGV[1], ARGV[2], ARGV[3])
for index = 1, #found, 2 do
  local id = found[index]
  reply[#reply + 1] = id
  reply[#reply + 1] = found[index + 1]
  reply[#reply + 1] = redis.call('ZCARD', KEYS[1] .. 'claims:' .. id)
  reply[#reply + 1] = redis.call('HGET', KEYS[1] .. 'info', id)
end
return reply
