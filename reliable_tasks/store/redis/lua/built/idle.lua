-- Built of idle.lua by `python -m tests.lua.build`.
local F = { clock_now = false }
-- clock.lua
function F.clock_now(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
-- idle.lua
local prefix, now, waiter, wait_ms = KEYS[1], F.clock_now(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local due = tonumber(redis.call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')[2])
local there = due and due <= now
for index = 4, #ARGV do
  there = there or redis.call('EXISTS', prefix .. 'q:' .. ARGV[index]) == 1
end
if there then return { 1, -1 } end
for index = 4, #ARGV do
  local key = prefix .. 'idle:' .. ARGV[index]
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  redis.call('ZADD', key, now + wait_ms + 500, waiter)
  redis.call('PEXPIRE', key, math.max(wait_ms + 500, redis.call('PTTL', key)))
end
local watcher = redis.call('GET', prefix .. 'watcher')
if not due or (watcher and watcher ~= waiter) then return { 0, -1 } end
redis.call('SET', prefix .. 'watcher', waiter, 'PX', wait_ms + 500)
return { 0, due - now }
