-- Sessions: {ns}:sessions by the end of their lease, {ns}:workers and {ns}:info say whose they are,
-- {ns}:hosts where, and {ns}:host:<host> of which process there; {ns}:claims:<session> what they
-- hold, {ns}:stops:<session> what they are to stop.
-- @include claims.lua

local function forget_session(session)
  redis.call('ZREM', prefix .. 'sessions', session)
  redis.call('HDEL', prefix .. 'workers', session)
  redis.call('HDEL', prefix .. 'info', session)
  local host = redis.call('HGET', prefix .. 'hosts', session)
  if host then
    redis.call('HDEL', prefix .. 'host:' .. host, session)
    redis.call('HDEL', prefix .. 'hosts', session)
  end
  redis.call('DEL', prefix .. 'stops:' .. session)
end
