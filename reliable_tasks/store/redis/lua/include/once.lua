-- Once-locks, which are the records of the package `locks`, and the messages parked behind them.
--
-- {ns}:locks is a sorted set of the names of held once-locks by the end of their cap (+inf = none);
-- {ns}:parked:<name> a list of ids. A lock past its cap is free, yet stays listed until `reap`
-- lets the first that is parked behind it go on.
-- @include audit.lua
-- @include lock.lua
-- @include scopes.lua

local lock_table = {} -- name -> {was = record or nil, is = record or nil, changed}
-- name -> {gone = ids of the stored list that have left, head = how many of its first ones have,
-- added = new ones}
local parking = {}

-- @rare

-- The lock's record even if past its cap; nil = nobody took it.
local function lock_entry(name)
  local entry = lock_table[name]
  if not entry then
    local was = lock_owner(prefix, name, 0)
    entry = { was = was, is = was }
    lock_table[name] = entry
  end
  return entry
end

-- The live record; nil = the lock is free.
local function lock_of(name)
  local lock = lock_entry(name).is
  if lock and lock.until_ms > 0 and lock.until_ms <= now then return nil end
  return lock
end

local function take_lock(name, r, timeout_ms)
  local lock = lock_of(name)
  if lock then return lock.owner == r.id end
  local entry = lock_entry(name)
  entry.is = {
    owner = r.id, since = now, timeout_ms = timeout_ms,
    until_ms = timeout_ms > 0 and now + timeout_ms or 0,
  }
  entry.changed = true
  return true
end

-- A replaced message keeps its key, and lends it to one at a time of those that stand in its place
-- (`graft` names it in each of them, `lent` in it the one that uses the key).

-- Those in whose place it stands: the nearest, in whose place that stands, and so on.
local function stands_for(r)
  local found, above = {}, r
  while above and above.x.graft and not found[above.x.graft] do
    found[above.x.graft] = true
    above = load(above.x.graft)
  end
  return found
end

-- Who uses the key of a replaced message, and is still there.
local function borrower_of(r)
  local heir = r.x.lent and load(r.x.lent)
  return heir and heir.x.graft and not FINAL[heir.c[STATE]] and heir or nil
end

-- Let `r` use the key of a message in whose place it stands, unless another there does. Returns whom
-- `r` has to wait for: nobody but itself where it may use the key.
local function lend_lock(owner, r)
  local above = stands_for(r)
  local user = above[owner] and load(owner)
  if not user then return owner end
  local heir = borrower_of(user)
  while heir do
    user, heir = heir, borrower_of(heir)
  end
  if user == r or not above[user.id] then return user.id end
  set_extra(user, 'lent', r.id)
  return r.id
end

-- It has ended: its key is free, or goes on to who still uses it in its place.
local function release(r, name)
  local entry, heir = lock_entry(name), borrower_of(r)
  if not heir or not entry.is or entry.is.owner ~= r.id then return free_lock(name, r.id) end
  local passed = { owner = heir.id }
  for _, field in ipairs({ 'fence', 'since', 'until_ms', 'timeout_ms' }) do
    passed[field] = entry.is[field]
  end
  entry.is, entry.changed = passed, true
end

local function parked(name)
  local p = parking[name]
  if not p then
    p = { gone = {}, head = 0, added = {} }
    parking[name] = p
  end
  return p
end

-- The id that waits longest behind the lock; nil = none does.
local function parked_first(name)
  local p = parked(name)
  while true do
    local id = redis.call('LINDEX', prefix .. 'parked:' .. name, p.head)
    if not id then return p.added[1] end
    if not p.gone[id] then return id end
    p.head = p.head + 1
  end
end

local function park(r, name)
  set_extra(r, 'parked', name)
  local added = parked(name).added
  added[#added + 1] = r.id
  defer('RPUSH', prefix .. 'parked:' .. name, r.id)
end

local function unpark(r)
  local name = r.x.parked
  local p = parked(name)
  set_extra(r, 'parked', nil)
  defer('LREM', prefix .. 'parked:' .. name, 1, r.id)
  for index, id in ipairs(p.added) do
    if id == r.id then
      table.remove(p.added, index)
      return
    end
  end
  p.gone[r.id] = true
end

-- The lock is free: let the first that waits behind it go on.
local function unpark_first(name)
  local id = parked_first(name)
  while id do
    local r = load(id)
    if r then
      unpark(r)
      on_free(r, name)
      return
    end
    defer('LREM', prefix .. 'parked:' .. name, 1, id)
    parked(name).gone[id] = true
    id = parked_first(name)
  end
end

local function free_lock(name, owner)
  local entry = lock_entry(name)
  if not entry.is or entry.is.owner ~= owner then return false end
  entry.is, entry.changed = nil, true
  unpark_first(name)
  return true
end

-- Write the locks that changed hands.
local function flush_locks()
  for name, entry in pairs(lock_table) do
    local was, is = entry.was, entry.is
    if was and is and was.fence == is.fence then -- it was passed on
      redis.call('HSET', prefix .. 'lock:' .. name, 'owner', is.owner)
    elseif entry.changed then
      if entry.was then lock_free(prefix, name, entry.was.owner, 0) end
      if entry.is then
        lock_take(prefix, name, entry.is.owner, now, entry.is.timeout_ms)
        redis.call('ZADD', prefix .. 'locks', entry.is.timeout_ms > 0 and entry.is.until_ms or '+inf', name)
      else
        redis.call('ZREM', prefix .. 'locks', name)
      end
    end
  end
  lock_table, parking = {}, {}
end

-- @end
