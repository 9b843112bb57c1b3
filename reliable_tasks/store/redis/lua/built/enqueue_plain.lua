-- Built of enqueue_plain.lua by `python -m tests.lua.build`.
-- clock.lua
local function clock_now(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
-- call.lua
local prefix, now, audit_all = KEYS[1], clock_now(ARGV[1]), ARGV[2] == 'all'
-- enqueue_plain.lua
local made
local function general()
if made then return made end
local F = { is_watched = false, publish = false, tell = false, wake = false }
-- notify.lua
function F.wake(queue, new)
  local waiting = redis.call('ZCOUNT', prefix .. 'idle:' .. queue, '(' .. now, '+inf')
  if waiting == 0 then return end
  local list = prefix .. 'wake:' .. queue
  local there = redis.call('ZCARD', prefix .. 'q:' .. queue)
  local markers = math.min(new, waiting, there, 100) - redis.call('LLEN', list)
  if markers <= 0 then return end
  local values = {}
  for index = 1, markers do values[index] = '1' end
  redis.call('RPUSH', list, unpack(values))
  redis.call('PEXPIRE', list, 5000)
end
function F.is_watched() return redis.call('EXISTS', prefix .. 'watched') == 1 end
function F.publish(id, state, ended)
  if ended and #ended <= 8192 then state = state .. ' ' .. ended end
  redis.call('PUBLISH', prefix .. 'changed:' .. id, state)
end
-- enqueue_plain.lua
function F.tell(queue, id)
  F.wake(queue, 1)
  if F.is_watched() then F.publish(id, 'queued') end
end
made = F
return F
end
local queue, id = ARGV[4], ARGV[6]
local seq = redis.call('INCR', prefix .. 'seq')
local packed = ARGV[3] .. struct.pack('>I8I8', now, seq) .. ARGV[7]
if redis.call('MSETNX', prefix .. 'm:' .. id, packed) == 0 then return 0 end
redis.call('ZADD', prefix .. 'q:' .. queue, ARGV[5] + seq, id)
redis.call('HINCRBY', prefix .. 'counts', 'queued:' .. queue, 1)
if redis.call('EXISTS', prefix .. 'idle:' .. queue, prefix .. 'watched') > 0 then general().tell(queue, id) end
return 1
