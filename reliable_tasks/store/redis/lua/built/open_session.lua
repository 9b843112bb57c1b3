-- Built of open_session.lua by `python -m tests.lua.build`.
local F = { clock_now = false }
-- clock.lua
function F.clock_now(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
-- call.lua
local prefix, now, audit_all = KEYS[1], F.clock_now(ARGV[1]), string.sub(ARGV[2], 1, 3) == 'all'
-- validate.lua
local LARGEST_NUMBER = 2 ^ 53
local type_of = type
local is_whole = function(n)
  return type_of(n) == 'number' and n >= -LARGEST_NUMBER and n <= LARGEST_NUMBER and n % 1 == 0
end
local is_text = function(s) return type_of(s) == 'string' end
local is_table = function(t) return type_of(t) == 'table' end
local or_none = function(fits) return function(value) return value == false or fits(value) end end
local maybe_whole, maybe_text, maybe_table = or_none(is_whole), or_none(is_text), or_none(is_table)
-- open_session.lua
redis.call('ZADD', prefix .. 'sessions', now + ARGV[4], ARGV[3])
redis.call('HSET', prefix .. 'workers', ARGV[3], ARGV[5])
redis.call('HSET', prefix .. 'info', ARGV[3], now .. ' ' .. ARGV[6])
redis.call('HSET', prefix .. 'hosts', ARGV[3], ARGV[7])
redis.call('HSET', prefix .. 'host:' .. ARGV[7], ARGV[3], ARGV[8])
redis.call('DEL', prefix .. 'turn:host:' .. ARGV[7])
