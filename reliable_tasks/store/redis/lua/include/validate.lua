-- Validate decoded records: a script that found out only halfway would fail, and with it every other
-- message of its batch.
-- @include decode.lua


local KNOWN_STATES = {
  waiting = true, scheduled = true, queued = true, running = true,
  succeeded = true, failed = true, revoked = true,
}
local LARGEST_NUMBER = 2 ^ 53

-- Local values, not fields of the table of functions: they are called for every field of a record.
local type_of = type -- each look at a global costs
local is_whole = function(n)
  return type_of(n) == 'number' and n >= -LARGEST_NUMBER and n <= LARGEST_NUMBER and n % 1 == 0
end
local is_count = function(n)
  return type_of(n) == 'number' and n >= 0 and n <= LARGEST_NUMBER and n % 1 == 0
end
local is_text = function(s) return type_of(s) == 'string' end
local is_truth = function(b) return type_of(b) == 'boolean' end
local is_table = function(t) return type_of(t) == 'table' end
local or_none = function(fits) return function(value) return value == false or fits(value) end end
local maybe_whole, maybe_text, maybe_table = or_none(is_whole), or_none(is_text), or_none(is_table)

local once_fits = function(once)
  return is_text(once[KEY]) and is_text(once[SCOPE]) and is_text(once[ON_CONFLICT])
    and is_count(once[TIMEOUT])
end

local edges_fit = function(edges)
  for _, edge in ipairs(edges) do
    if not (is_text(edge[CHILD]) and is_text(edge[ON]) and is_whole(edge[SLOT])) then return false end
  end
  return true
end

local OF_C = {
  function(state) return KNOWN_STATES[state] end, is_count, is_text, is_count, is_count, is_count,
  is_count, is_count, is_count, maybe_text, maybe_text, is_count,
  maybe_whole, maybe_whole, maybe_whole, maybe_whole, maybe_whole, is_text, is_count,
  maybe_table, maybe_text, is_count,
}
local OF_M = { -- what follows is for clients
  is_text, is_text, is_whole, is_count, is_count, is_count,
  or_none(once_fits), is_text, maybe_whole, is_whole, maybe_whole, maybe_whole, is_truth, is_count,
}
local OF_X = {
  once = once_fits, edges = edges_fit, waits = is_whole, mirrors = is_text, parked = is_text,
  stage = is_text, graft = is_text, lent = is_text, revoked = is_text, failure = is_text,
  doom = is_text, progress = is_text, meta = is_text, inputs = is_count, ending = is_whole,
  broken = is_table,
}

-- @rare
local function all_valid(checks, values)
  for index = 1, #checks do
    if not checks[index](values[index]) then return false end
  end
  return true
end

local function control_is_valid(c)
  if not all_valid(OF_C, c) then return false end
  local state = c[STATE]
  if state == 'running' and not c[SESSION] or state == 'scheduled' and not c[DUE] then return false end
  if FINAL[state] and not c[ENDED] then return false end
  for name, value in pairs(c[EXTRAS] or {}) do
    local check = OF_X[name]
    if check and value and not check(value) then return false end
  end
  return true
end

-- Returns m, c, and what follows c; nil and c if one of them is not valid.
local function decode_valid(packed)
  local c, rest = decode(packed)
  if not control_is_valid(c) then return nil, c end
  local known, offset, m = pcall(cmsgpack.unpack_one, rest, 0)
  if not known or offset + c[SIZE_OF_P] ~= #rest or not all_valid(OF_M, m) then return nil, c end
  return m, c, rest
end

-- @end
