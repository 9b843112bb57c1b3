-- A page of the once-locks that are held, and who is parked behind each; or locks by their names.
-- KEYS[1] '{ns}:'
-- ARGV    now, how many of the parked, how many locks, score and name after which the page begins
--         ('' = at the beginning), names ... (none: a page)
-- Returns {score and name after which the next page begins ('' = there is none), name, owner, fence,
--         since, until, {ids}, ...}.
-- @include listing.lua
-- @include paging.lua

local reply, names, most = { '', '' }, {}, tonumber(ARGV[3])
for index = 6, #ARGV do names[#names + 1] = ARGV[index] end
if not names[1] then
  local page = page_after(KEYS[1] .. 'locks', ARGV[4], ARGV[5], most)
  for index = 1, #page, 2 do names[#names + 1] = page[index] end
  if #names == most then reply[1], reply[2] = page[#page], names[most] end
end
add_locks(reply, names, clock_now(ARGV[1]), ARGV[2])
return reply
