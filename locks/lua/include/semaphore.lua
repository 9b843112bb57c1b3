-- A semaphore's leases: {ns}:sem:<name> owner -> until (inf = until released), and
-- {ns}:semdata:<name> owner -> "<fence> <since>". `prefix` is '{ns}:'; the caller passes the time.
-- A lease past its `until` counts as absent; the next one who takes a place removes it.
-- @include wake.lua

-- The keys outlive their leases a little, for callers whose clock is behind.
local SEMAPHORE_SPARE_MS = 5000

-- Both keys live as long as the longest lease.
local function semaphore_expire(prefix, name, now)
  local last = redis.call('ZRANGE', prefix .. 'sem:' .. name, -1, -1, 'WITHSCORES')[2]
  for _, part in ipairs({ 'sem:', 'semdata:' }) do
    if last == 'inf' then
      redis.call('PERSIST', prefix .. part .. name)
    elseif last then
      local rest_ms = math.max(tonumber(last) - now, 0) + SEMAPHORE_SPARE_MS
      redis.call('PEXPIRE', prefix .. part .. name, rest_ms)
    end
  end
end

local function semaphore_sweep(prefix, name, now)
  local key = prefix .. 'sem:' .. name
  for _, owner in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now)) do
    redis.call('ZREM', key, owner)
    redis.call('HDEL', prefix .. 'semdata:' .. name, owner)
  end
end

-- How many places are taken.
local function semaphore_count(prefix, name, now)
  return redis.call('ZCOUNT', prefix .. 'sem:' .. name, string.format('(%.0f', now), '+inf')
end

-- The live lease as a table with owner, fence, since, until_ms (0 = until released), or nil.
local function semaphore_lease(prefix, name, owner, now)
  local score = redis.call('ZSCORE', prefix .. 'sem:' .. name, owner)
  if not score or (score ~= 'inf' and tonumber(score) <= now) then return nil end
  local data = redis.call('HGET', prefix .. 'semdata:' .. name, owner)
  local fence, since = string.match(data, '^(%d+) (%d+)$')
  return {
    owner = owner, fence = tonumber(fence), since = tonumber(since),
    until_ms = score == 'inf' and 0 or tonumber(score),
  }
end

-- When the first of the leases ends that are live (0 = none does).
local function semaphore_first_end(prefix, name, now)
  local key, low = prefix .. 'sem:' .. name, string.format('(%.0f', now)
  local first = redis.call('ZRANGEBYSCORE', key, low, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  return first == 'inf' and 0 or tonumber(first)
end

-- Take one of `limit` places. Returns the lease, or nil and the first end of the others' (0 = none).
-- Taking again what one has changes nothing, so a call whose reply was lost can be repeated.
local function semaphore_take(prefix, name, owner, now, ttl_ms, limit)
  local had = semaphore_lease(prefix, name, owner, now)
  if had then return had end
  if semaphore_count(prefix, name, now) >= limit then
    return nil, semaphore_first_end(prefix, name, now)
  end
  semaphore_sweep(prefix, name, now)
  local fence = redis.call('INCR', prefix .. 'fence')
  redis.call('ZADD', prefix .. 'sem:' .. name, ttl_ms > 0 and now + ttl_ms or '+inf', owner)
  redis.call('HSET', prefix .. 'semdata:' .. name, owner, string.format('%.0f %.0f', fence, now))
  semaphore_expire(prefix, name, now)
  return { owner = owner, fence = fence, since = now, until_ms = ttl_ms > 0 and now + ttl_ms or 0 }
end

-- Hold the place for `ttl_ms` from now. Returns the new `until`, or nil where `owner` has none.
local function semaphore_extend(prefix, name, owner, now, ttl_ms)
  if not semaphore_lease(prefix, name, owner, now) then return nil end
  -- This first: a server at its maxmemory refuses what may need memory as a script's first write.
  redis.call('PERSIST', prefix .. 'sem:' .. name)
  redis.call('ZADD', prefix .. 'sem:' .. name, ttl_ms > 0 and now + ttl_ms or '+inf', owner)
  semaphore_expire(prefix, name, now)
  return ttl_ms > 0 and now + ttl_ms or 0
end

-- Give the place back and wake a waiter. Returns whether `owner` had one.
local function semaphore_free(prefix, name, owner, now, limit)
  if not semaphore_lease(prefix, name, owner, now) then return false end
  redis.call('ZREM', prefix .. 'sem:' .. name, owner)
  redis.call('HDEL', prefix .. 'semdata:' .. name, owner)
  semaphore_expire(prefix, name, now)
  wake_one(prefix, 'sem', name, limit - semaphore_count(prefix, name, now))
  return true
end
