-- Counters and notifications, which follow each write.
-- @include call.lua

local WAKE_MS = 5000 -- how long a marker stays on a list that nobody blocks on
local TOLD = 8192
local BY_ONE_CALL = 2000 -- values in one command; Lua's stack holds some 8000

-- Change how many messages of a queue are in a state.
local function count_in(state, queue, by)
  local name = state .. ':' .. queue
  if by ~= 0 and redis.call('HINCRBY', prefix .. 'counts', name, by) == 0 then
    redis.call('HDEL', prefix .. 'counts', name)
  end
end

-- Wake as many of the workers that block for the queue as there are new messages.
local function wake(queue, new)
  local waiting = redis.call('ZCOUNT', prefix .. 'idle:' .. queue, '(' .. now, '+inf')
  if waiting == 0 then return end
  local list = prefix .. 'wake:' .. queue
  local there = redis.call('ZCARD', prefix .. 'q:' .. queue)
  local markers = math.min(new, waiting, there, 100) - redis.call('LLEN', list)
  if markers <= 0 then return end
  local values = {}
  for index = 1, markers do values[index] = '1' end
  redis.call('RPUSH', list, unpack(values))
  redis.call('PEXPIRE', list, WAKE_MS)
end

-- Whether anybody waits for a message to change; or for one to end, which is less.
local function is_watched() return redis.call('EXISTS', prefix .. 'watched') == 1 end
local function is_awaited()
  return redis.call('EXISTS', prefix .. 'watched', prefix .. 'awaited') > 0
end

-- Publish a message's state; and if it has ended, its string as well, unless that is long: in a
-- cluster all nodes get it.
local function publish(id, state, ended)
  if ended and #ended <= TOLD then state = state .. ' ' .. ended end
  redis.call('PUBLISH', prefix .. 'changed:' .. id, state)
end

-- The earliest instant at which something scheduled is due; false = nothing is.
local function next_due()
  return tonumber(redis.call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')[2]) or false
end
