-- Read records, for scripts that change nothing.
-- @include decode.lua

-- What changes, of a record's string; one that cannot be unfolded is as good as dead.
local function control_of(packed)
  local readable, c = pcall(function() return decode(packed) end)
  return readable and c or { [STATE] = 'failed', [VERSION] = 1 }
end

local READ_AT_ONCE = 20 -- records by one call
local BYTES_AT_ONCE = 4194304 -- by one script, but for the last few records

-- The strings of some records, of few enough for one call; false where there is none, or somebody
-- else's value.
local function read_records(ids)
  local names, start = {}, KEYS[1] .. 'm:'
  for index, id in ipairs(ids) do names[index] = start .. id end
  local found = names[1] and redis.call('MGET', unpack(names)) or {}
  for index, packed in ipairs(found) do found[index] = packed and is_ours(packed) and packed end
  return found
end

-- The payload of a record if it lies apart, as one of an array may.
local function payload_apart(packed, id)
  return packed and string.byte(packed) == IS_ARRAY and redis.call('GET', KEYS[1] .. 'p:' .. id)
end
