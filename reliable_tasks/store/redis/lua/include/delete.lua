-- Delete records with all that belongs to them.
-- @include transitions.lua

local function delete(r)
  local once = r.x.once
  if r.x.parked then unpark(r) end
  forget(r)
  if once and once[SCOPE] ~= 'until_expired' then free_lock(once[KEY], r.id) end
end
