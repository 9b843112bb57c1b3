-- Those who wait for a lock (`short` = 'lock') or a semaphore ('sem') block on a list. A marker on
-- it wakes one of them, the one who blocked first. Nobody's turn is reserved: a waiter that died
-- costs the others nothing but the seconds until they look again by themselves.

local WAKE_MARKER_MS = 5000

-- @rare

-- Remember until when `owner` is expected to wait.
local function waiter_add(prefix, short, name, owner, now, wait_ms)
  local key = prefix .. short .. 'wait:' .. name
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  redis.call('ZADD', key, now + wait_ms, owner)
  redis.call('PEXPIRE', key, wait_ms)
end

local function waiter_remove(prefix, short, name, owner)
  redis.call('ZREM', prefix .. short .. 'wait:' .. name, owner)
end

-- Wake one waiter, if there may be one; at most `most` markers lie on the list.
local function wake_one(prefix, short, name, most)
  if redis.call('EXISTS', prefix .. short .. 'wait:' .. name) == 0 then return end
  local key = prefix .. short .. 'wake:' .. name
  if redis.call('LLEN', key) < most then redis.call('RPUSH', key, '1') end
  redis.call('PEXPIRE', key, WAKE_MARKER_MS)
end

-- @end
