-- Records as they lie there, for scripts that change nothing; see record.lua.

-- The strings of some records; false where there is none, or somebody else's value.
local function read_records(ids)
  local found = {}
  for index, id in ipairs(ids) do
    local packed = redis.pcall('GET', KEYS[1] .. 'm:' .. id)
    found[index] = type(packed) == 'string' and string.sub(packed, 1, 1) == '\147' and packed
  end
  return found
end

-- What changes of a record, from its string.
local function unpack_control(packed)
  local _, c = cmsgpack.unpack_one(packed, 1)
  return c
end
