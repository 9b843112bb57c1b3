-- A lock's record, {ns}:lock:<name>: owner, fence, since, until (ms; 0 = until released).
-- `prefix` is '{ns}:'. The caller passes the time; a record past its `until` counts as absent.
-- @include wake.lua

-- @rare

-- The live record as a table with owner, fence, since, until_ms; nil where the lock is free.
local function lock_owner(prefix, name, now)
  local record = redis.call('HMGET', prefix .. 'lock:' .. name, 'owner', 'fence', 'since', 'until')
  if not record[1] then return nil end
  local until_ms = tonumber(record[4])
  if until_ms > 0 and until_ms <= now then return nil end
  return {
    owner = record[1], fence = tonumber(record[2]), since = tonumber(record[3]),
    until_ms = until_ms,
  }
end

-- Take the lock for `owner` for `ttl_ms` (0 = until released). Returns the fencing number and the
-- record; nil and the holder's record where another has it. Taking again what one has changes
-- nothing and returns the same number, so a call whose reply was lost can be repeated.
local function lock_take(prefix, name, owner, now, ttl_ms)
  local held = lock_owner(prefix, name, now)
  if held and held.owner ~= owner then return nil, held end
  if held then return held.fence, held end
  local key = prefix .. 'lock:' .. name
  local fence = redis.call('INCR', prefix .. 'fence')
  local until_ms = ttl_ms > 0 and now + ttl_ms or 0
  redis.call('HSET', key, 'owner', owner, 'fence', fence, 'since', now, 'until', until_ms)
  if ttl_ms > 0 then redis.call('PEXPIRE', key, ttl_ms) else redis.call('PERSIST', key) end
  return fence, { owner = owner, fence = fence, since = now, until_ms = until_ms }
end

-- Hold the lock for `ttl_ms` from now (0 = until released). Returns the new `until`, or nil where
-- `owner` does not have it.
local function lock_extend(prefix, name, owner, now, ttl_ms)
  local held = lock_owner(prefix, name, now)
  if not held or held.owner ~= owner then return nil end
  local key = prefix .. 'lock:' .. name
  local until_ms = ttl_ms > 0 and now + ttl_ms or 0
  -- This first: a server at its maxmemory refuses what may need memory as a script's first write.
  if ttl_ms > 0 then redis.call('PEXPIRE', key, ttl_ms) else redis.call('PERSIST', key) end
  redis.call('HSET', key, 'until', until_ms)
  return until_ms
end

-- Free the lock and wake a waiter. Returns whether `owner` had it.
local function lock_free(prefix, name, owner, now)
  local held = lock_owner(prefix, name, now)
  if not held or held.owner ~= owner then return false end
  redis.call('DEL', prefix .. 'lock:' .. name)
  wake_one(prefix, 'lock', name, 1)
  return true
end

-- @end
