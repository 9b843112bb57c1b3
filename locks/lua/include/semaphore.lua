-- A semaphore's leases: {ns}:sem:<name> owner -> until (inf = until released), and
-- {ns}:semdata:<name> owner -> "<fence> <since>". `prefix` is '{ns}:'; the caller passes the time.
-- @include wake.lua

local function semaphore_sweep(prefix, name, now)
  local key = prefix .. 'sem:' .. name
  for _, owner in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now)) do
    redis.call('ZREM', key, owner)
    redis.call('HDEL', prefix .. 'semdata:' .. name, owner)
  end
end

-- Both keys live as long as the longest lease.
local function semaphore_expire(prefix, name, now)
  local last = redis.call('ZRANGE', prefix .. 'sem:' .. name, -1, -1, 'WITHSCORES')[2]
  for _, part in ipairs({ 'sem:', 'semdata:' }) do
    if last == 'inf' then
      redis.call('PERSIST', prefix .. part .. name)
    elseif last then
      redis.call('PEXPIRE', prefix .. part .. name, tonumber(last) - now)
    end
  end
end

-- The lease as a table with owner, fence, since, until_ms (0 = until released); nil where absent.
local function semaphore_lease(prefix, name, owner)
  local score = redis.call('ZSCORE', prefix .. 'sem:' .. name, owner)
  if not score then return nil end
  local data = redis.call('HGET', prefix .. 'semdata:' .. name, owner)
  local fence, since = string.match(data, '^(%d+) (%d+)$')
  return {
    owner = owner, fence = tonumber(fence), since = tonumber(since),
    until_ms = score == 'inf' and 0 or tonumber(score),
  }
end

-- Take one of `limit` places. Returns the lease, or nil and the first `until` (0 = none).
local function semaphore_take(prefix, name, owner, now, ttl_ms, limit)
  semaphore_sweep(prefix, name, now)
  local had = semaphore_lease(prefix, name, owner)
  if had then return had end
  local key = prefix .. 'sem:' .. name
  if redis.call('ZCARD', key) >= limit then
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    return nil, first == 'inf' and 0 or tonumber(first)
  end
  local fence = redis.call('INCR', prefix .. 'fence')
  redis.call('ZADD', key, ttl_ms > 0 and now + ttl_ms or '+inf', owner)
  redis.call('HSET', prefix .. 'semdata:' .. name, owner, string.format('%.0f %.0f', fence, now))
  semaphore_expire(prefix, name, now)
  return semaphore_lease(prefix, name, owner)
end

-- Hold the place for `ttl_ms` from now. Returns the new `until`, or nil where `owner` has none.
local function semaphore_extend(prefix, name, owner, now, ttl_ms)
  semaphore_sweep(prefix, name, now)
  local key = prefix .. 'sem:' .. name
  if not redis.call('ZSCORE', key, owner) then return nil end
  redis.call('ZADD', key, ttl_ms > 0 and now + ttl_ms or '+inf', owner)
  semaphore_expire(prefix, name, now)
  return ttl_ms > 0 and now + ttl_ms or 0
end

-- Give the place back and wake a waiter. Returns whether `owner` had one.
local function semaphore_free(prefix, name, owner, now, limit)
  semaphore_sweep(prefix, name, now)
  local key = prefix .. 'sem:' .. name
  if redis.call('ZREM', key, owner) == 0 then return false end
  redis.call('HDEL', prefix .. 'semdata:' .. name, owner)
  semaphore_expire(prefix, name, now)
  wake_one(prefix, 'sem', name, limit - redis.call('ZCARD', key))
  return true
end
