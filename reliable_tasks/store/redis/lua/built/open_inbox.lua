-- Built of open_inbox.lua by `python -m tests.lua.build`.
local F = { clock_now = false, ring = false }
-- clock.lua
function F.clock_now(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
-- call.lua
local prefix, now, audit_all = KEYS[1], F.clock_now(ARGV[1]), string.sub(ARGV[2], 1, 3) == 'all'
-- notify.lua
function F.ring(queue)
  redis.call('XADD', prefix .. 'inbox:' .. queue, 'NOMKSTREAM', '*', '', '')
end
-- open_inbox.lua
local queue = ARGV[3]
local inbox = prefix .. 'inbox:' .. queue
if redis.call('EXISTS', inbox) == 0 then
  redis.call('XGROUP', 'CREATE', inbox, 'workers', '0', 'MKSTREAM')
  redis.call('SADD', prefix .. 'inboxes', queue)
  if redis.call('EXISTS', prefix .. 'q:' .. queue, prefix .. 'scheduled') > 0 then F.ring(queue) end
end
