-- Built of take_turn.lua by `python -m tests.lua.build`.
local F = { clock_now = false, has_lapsed = false, is_free = false, put_neighbours = false, take = false }
-- clock.lua
function F.clock_now(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
-- call.lua
local prefix, now, audit_all = KEYS[1], F.clock_now(ARGV[1]), string.sub(ARGV[2], 1, 3) == 'all'
-- take_turn.lua
local turn_ms, beside = tonumber(ARGV[3]), prefix .. 'host:' .. ARGV[5]
local lasts_ms = ARGV[1] == '' and turn_ms or 60000
function F.is_free(turn)
  local taken = tonumber(redis.call('GET', turn) or 'never')
  return not taken or taken > now or now - taken >= turn_ms
end
function F.take(turn) redis.call('SET', turn, now, 'PX', lasts_ms) end
function F.has_lapsed()
  return redis.call('ZRANGEBYSCORE', prefix .. 'sessions', '-inf', now, 'LIMIT', 0, 1)[1]
end
function F.put_neighbours(reply)
  local found = redis.call('HGETALL', beside)
  for index = 1, #found, 2 do
    local session, process = found[index], found[index + 1]
    if not redis.call('ZSCORE', prefix .. 'sessions', session) then
      redis.call('HDEL', beside, session)
    elseif process ~= ARGV[6] then
      reply[#reply + 1], reply[#reply + 2] = session, process
    end
  end
end
local reply, to_reap, to_look = { 0, 0 }, prefix .. 'turn:' .. ARGV[4], prefix .. 'turn:host:' .. ARGV[5]
if F.is_free(to_reap) then
  F.take(to_reap)
  reply[1], reply[2] = 1, F.has_lapsed() and 1 or 0
end
if F.is_free(to_look) then
  F.put_neighbours(reply)
  if reply[3] then F.take(to_look) else redis.call('SET', to_look, 'alone', 'PX', 60000) end
end
return reply
