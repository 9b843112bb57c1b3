-- Records as they lie there, for scripts that change nothing.
-- @include unfolding.lua

-- The strings of some records; false where there is none, or somebody else's value.
local function read_records(ids)
  local found = {}
  for index, id in ipairs(ids) do
    local packed = redis.pcall('GET', KEYS[1] .. 'm:' .. id)
    found[index] = type(packed) == 'string' and is_record(packed) and packed
  end
  return found
end
