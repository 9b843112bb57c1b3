-- Take what nobody has had lately of what one process has to do for all.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, for how long a turn is nobody else's (ms), 'all' or 'patient', host,
--         process (its pid and start)
-- Returns {whether to reap (0 or 1), whether a session has lapsed (0 or 1), then session and process
--         of each neighbour, if it is this process's turn to see whether they live}.
--
-- {ns}:turn:<what> has when it was taken, and lasts as long as it is nobody else's: while it is
-- there, nobody needs to run this. `alone` is that of a host until another process opens a session.
-- @include call.lua

local FORGOTTEN_MS = 60000
local turn_ms, beside = tonumber(ARGV[3]), prefix .. 'host:' .. ARGV[5]
local lasts_ms = ARGV[1] == '' and turn_ms or FORGOTTEN_MS -- keys lapse by no other clock

-- One that lies in the future is of a clock that was set back since.
local function is_free(turn)
  local taken = tonumber(redis.call('GET', turn) or 'never')
  return not taken or taken > now or now - taken >= turn_ms
end

local function take(turn) redis.call('SET', turn, now, 'PX', lasts_ms) end

local function has_lapsed()
  return redis.call('ZRANGEBYSCORE', prefix .. 'sessions', '-inf', now, 'LIMIT', 0, 1)[1]
end

-- Sessions that older versions have forgotten are still listed by host.
local function put_neighbours(reply)
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
if is_free(to_reap) then
  take(to_reap)
  reply[1], reply[2] = 1, has_lapsed() and 1 or 0
end
if is_free(to_look) then
  put_neighbours(reply)
  if reply[3] then take(to_look) else redis.call('SET', to_look, 'alone', 'PX', FORGOTTEN_MS) end
end
return reply
