-- Built of locks.lua by `python -m tests.lua.build`.
local F = { add_locks = false, clock_now = false, is_behind = false, page_after = false, rank_after = false }
-- clock.lua
function F.clock_now(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
setmetatable(F, { __index = function(_, missed)
setmetatable(F, nil)
-- lock.lua
function F.lock_owner(prefix, name, now)
  local record = redis.call('HMGET', prefix .. 'lock:' .. name, 'owner', 'fence', 'since', 'until')
  if not record[1] then return nil end
  local until_ms = tonumber(record[4])
  if until_ms > 0 and until_ms <= now then return nil end
  return {
    owner = record[1], fence = tonumber(record[2]), since = tonumber(record[3]),
    until_ms = until_ms,
  }
end
return F[missed]
end })
-- listing.lua
function F.add_locks(reply, names, now, parked)
  for _, name in ipairs(names) do
    local lock = F.lock_owner(KEYS[1], name, now)
    if lock then
      local ids = redis.call('LRANGE', KEYS[1] .. 'parked:' .. name, 0, parked - 1)
      for _, part in ipairs({ name, lock.owner, lock.fence, lock.since, lock.until_ms, ids }) do
        reply[#reply + 1] = part
      end
    end
  end
end
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
-- locks.lua
local reply, names, most = { '', '' }, {}, tonumber(ARGV[3])
for index = 6, #ARGV do names[#names + 1] = ARGV[index] end
if not names[1] then
  local page = F.page_after(KEYS[1] .. 'locks', ARGV[4], ARGV[5], most)
  for index = 1, #page, 2 do names[#names + 1] = page[index] end
  if #names == most then reply[1], reply[2] = page[#page], names[most] end
end
F.add_locks(reply, names, F.clock_now(ARGV[1]), ARGV[2])
return reply
