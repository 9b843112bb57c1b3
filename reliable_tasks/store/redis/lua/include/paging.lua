-- Go through a sorted set by cursor: a score and a member, behind which the next page begins, whether
-- or not they are still there.

-- Whether a text is behind another by its bytes, as Redis orders them (`>` depends on the locale).
local function is_behind(one, other)
  for index = 1, math.min(#one, #other) do
    local a, b = string.byte(one, index), string.byte(other, index)
    if a ~= b then return a > b end
  end
  return #one > #other
end

-- The rank of what comes after a cursor; '' as the score is before all.
local function rank_after(key, score, member)
  if score == '' then return 0 end
  if redis.call('ZSCORE', key, member) == score then return redis.call('ZRANK', key, member) + 1 end
  local low = redis.call('ZCOUNT', key, '-inf', '(' .. score)
  local high = low + redis.call('ZCOUNT', key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_behind(redis.call('ZRANGE', key, middle, middle)[1], member) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

-- A page after a cursor: {member, score, ...}.
local function page_after(key, score, member, most)
  local first = rank_after(key, score, member)
  return redis.call('ZRANGE', key, first, first + most - 1, 'WITHSCORES')
end
