-- The rows of the audit trail.
--
-- {ns}:audit is a stream of them; {ns}:audit:<id> a list of the numbers that a message's rows have
-- there; {ns}:auditbytes what all of them count for. {ns}:auditagain has by a row's number how often
-- more it happened, and when for the last time. {ns}:auditcut tells what was dropped: by message how
-- many rows, while it has later ones; and by '' up to when.
--
-- Rows that an older release has written have no size, and stand in no list.
-- @include call.lua
-- @include fields.lua

-- Returns the row's number, and what all rows count for now.
local function add_row(event, id, task, attempt, delivery, fence, worker, detail)
  local size = AUDIT_ROW_BYTES + #id + #task + #worker + #detail
  local number = redis.call('XADD', prefix .. 'audit', '*', 'e', event, 'at', now, 'id', id, 't', task,
    'a', attempt, 'd', delivery, 'f', fence, 'w', worker, 'x', detail, 's', size)
  redis.call('RPUSH', prefix .. 'audit:' .. id, number)
  return number, redis.call('INCRBY', prefix .. 'auditbytes', size)
end
