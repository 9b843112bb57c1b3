-- Stages: workflows too large for one batch, held until they are sealed.
-- {ns}:stages (open ones) and {ns}:sealed by their deadline; {ns}:stage:<name> a list of ids.
-- @include transitions.lua

-- @rare

-- Start what waits in a sealed stage, at most `limit` messages. Returns how many are left.
-- What was put into the stage must have been written before.
local function open_stage(name, limit)
  local key, moved, taken = prefix .. 'stage:' .. name, 0, 0
  local size = redis.call('LLEN', key)
  stage_is_open[name] = false
  while taken < size and moved < limit do
    local r = load(redis.call('LINDEX', key, taken))
    taken = taken + 1
    if r then
      moved = moved + 1
      if startable(r) then make_ready(r) end
      if r.x.stage == name then set_extra(r, 'stage', nil) end
    end
  end
  if taken == size then
    defer('DEL', key)
    defer('ZREM', prefix .. 'sealed', name)
  else
    defer('LTRIM', key, taken, -1)
  end
  return size - taken
end

-- @end
