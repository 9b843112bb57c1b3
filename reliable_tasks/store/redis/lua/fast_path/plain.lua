-- The fast path of plain messages, whose strings are not decoded; see layout.lua. Other messages, and
-- rows of the audit trail, take the path of `general`, which is made only then. One batch may take
-- both: nothing that happens to one message changes another one that is plain.
-- @include notify.lua
-- @include layout.lua

local function keys_of(ids, first, last)
  local keys, start = {}, prefix .. 'm:'
  for index = first, last do keys[index - first + 1] = start .. ids[index] end
  return keys
end
