-- Delete final records.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, ids ... (each once)
-- Returns how many there were.
-- @include inbox.lua
-- @include delete.lua

if absorb_all() > 0 then return MORE end
local dropped = {}
for index = 3, #ARGV do
  local r = load(ARGV[index])
  if r and FINAL[r.c[STATE]] then dropped[#dropped + 1] = r end
end
for _, r in ipairs(dropped) do
  if is_dead(r.c[STATE], r.c[REASON]) then audit('dropped', r) end
  delete(r)
end
flush()
return #dropped
