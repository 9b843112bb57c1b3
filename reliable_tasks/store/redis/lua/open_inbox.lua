-- Make the inbox of a queue, unless there is one.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, queue
-- Returns nothing.
-- @include notify.lua

local queue = ARGV[3]
local inbox = prefix .. 'inbox:' .. queue
if redis.call('EXISTS', inbox) == 0 then
  redis.call('XGROUP', 'CREATE', inbox, 'workers', '0', 'MKSTREAM')
  redis.call('SADD', prefix .. 'inboxes', queue)
  -- So far, nobody could ring.
  if redis.call('EXISTS', prefix .. 'q:' .. queue, prefix .. 'scheduled') > 0 then ring(queue) end
end
