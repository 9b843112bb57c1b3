-- Note that somebody will block for work, unless there is some.
-- One of those who block watches for what is due next; the others sleep on.
-- KEYS[1] '{ns}:'
-- ARGV    now, waiter, wait_ms, queues ...
-- Returns {work is there (0 or 1), ms until something is due (-1 = nobody has to watch, or another
--         does)}.
-- @include clock.lua

local MARGIN_MS = 500 -- how long after its wait a waiter counts as one
local prefix, now, waiter, wait_ms = KEYS[1], clock_now(ARGV[1]), ARGV[2], tonumber(ARGV[3])

local due = tonumber(redis.call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')[2])
local there = due and due <= now
for index = 4, #ARGV do
  there = there or redis.call('EXISTS', prefix .. 'q:' .. ARGV[index]) == 1
end
if there then return { 1, -1 } end

for index = 4, #ARGV do
  local key = prefix .. 'idle:' .. ARGV[index]
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  redis.call('ZADD', key, now + wait_ms + MARGIN_MS, waiter)
  redis.call('PEXPIRE', key, math.max(wait_ms + MARGIN_MS, redis.call('PTTL', key)))
end
local watcher = redis.call('GET', prefix .. 'watcher')
if not due or (watcher and watcher ~= waiter) then return { 0, -1 } end
redis.call('SET', prefix .. 'watcher', waiter, 'PX', wait_ms + MARGIN_MS)
return { 0, due - now }
