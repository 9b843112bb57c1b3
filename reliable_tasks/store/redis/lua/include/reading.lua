-- Read records, for scripts that change nothing.
-- @include decode.lua

-- What changes, of a record's string; one that cannot be unfolded is as good as dead.
local function control_of(packed)
  local readable, c = pcall(function() return decode(packed) end)
  return readable and c or { [STATE] = 'failed', [VERSION] = 1 }
end

-- The strings of some records; false where there is none, or somebody else's value.
local function read_records(ids)
  local found = {}
  for index, id in ipairs(ids) do
    local packed = redis.pcall('GET', KEYS[1] .. 'm:' .. id)
    found[index] = type(packed) == 'string' and is_ours(packed) and packed
  end
  return found
end
