-- Revoke what is queued on a queue, then what is scheduled for it, as far as one script may.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, queue, how many at most, how many of the scheduled to look at, and the score
--         and id after which to begin there ('' = at the beginning)
-- Returns {how many were revoked, whether there may be more, score and id after which to go on there}.
-- @include inbox.lua
-- @include paging.lua
-- @include transitions.lua

if absorb_all() > 0 then return MORE end
local queue, most, look_at = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local score, last = ARGV[6], ARGV[7]
local found = redis.call('ZRANGE', prefix .. 'q:' .. queue, 0, most - 1)
local more = #found == most
if not more then
  local page = page_after(prefix .. 'scheduled', score, last, look_at)
  more = #page == 2 * look_at
  for index = 1, #page, 2 do
    if #found == most then
      more = true
      break
    end
    last, score = page[index], page[index + 1]
    local r = load(last)
    if r and r.c[QUEUE] == queue then found[#found + 1] = last end
  end
end
for _, id in ipairs(found) do
  local r = load(id)
  if r and not FINAL[r.c[STATE]] then finish(r, 'revoked', 'purged') end
end
flush()
return { #found, more and 1 or 0, score, last }
