-- Counters and notifications, which follow each write.
-- @include call.lua

local TOLD = 8192
local HANDED_AT_ONCE = 4194304 -- bytes of payloads, inputs or results after which a step goes no further
local BY_ONE_CALL = 2000 -- values in one command; Lua's stack holds some 8000

-- Change how many messages of a queue are in a state.
local function count_in(state, queue, by)
  local name = state .. ':' .. queue
  if by ~= 0 and redis.call('HINCRBY', prefix .. 'counts', name, by) == 0 then
    redis.call('HDEL', prefix .. 'counts', name)
  end
end

-- Idle workers block on the inboxes of their queues, streams: each entry wakes one of them. What
-- queues messages elsewhere puts a bell there, an entry with nothing in it, unless something is
-- there already. Who was woken takes it out, and rings again where it has left work.
local function ring(queue)
  redis.call('XADD', prefix .. 'inbox:' .. queue, 'NOMKSTREAM', '*', '', '')
end

local function wake(queue)
  if redis.call('XLEN', prefix .. 'inbox:' .. queue) == 0 then ring(queue) end
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

-- Tell those who wait that plain messages have changed, but not ended.
local function notify_changed(ids, state)
  if not is_watched() then return end
  for _, id in ipairs(ids) do publish(id, state) end
end

-- The earliest instant at which something scheduled is due; false = nothing is.
local function next_due()
  return tonumber(redis.call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')[2]) or false
end
