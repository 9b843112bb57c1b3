-- The way of plain messages, whose strings are not taken apart; see layout.lua. What is not plain
-- goes the way of `general`, which is made only then, as do rows of the audit trail. Both ways may be
-- taken in one batch: nothing that happens to one message changes another one that is plain.
-- @include notify.lua
-- @include layout.lua

local function keys_of(ids, first, last)
  local keys, start = {}, prefix .. 'm:'
  for index = first, last do keys[index - first + 1] = start .. ids[index] end
  return keys
end

-- Tell those who wait that the messages have changed, but not ended.
local function notify_changed(ids, state)
  if not is_watched() then return end
  for _, id in ipairs(ids) do publish(id, state) end
end
