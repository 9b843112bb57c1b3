-- The audit trail, a stream: {ns}:audit. Rows are written with the transitions they tell of.
-- @include record.lua

local ONLY_ALL = {
  enqueued = true, started = true, succeeded = true, promoted = true, released = true,
  step = true, fired = true,
}

local function audit(event, r, detail)
  if ONLY_ALL[event] and not audit_all then return end
  local c = r.c
  audit_row(event, r.id, static(r)[TASK], c[ATTEMPT], c[DELIVERY], c[FENCE], c[WORKER], detail)
end

-- @rare

local function audit_row(event, id, task, attempt, delivery, fence, worker, detail)
  defer('XADD', prefix .. 'audit', '*', 'e', event, 'at', now, 'id', id, 't', task,
    'a', attempt, 'd', delivery, 'f', fence, 'w', worker or '', 'x', detail or '')
end

local function audit_id(event, id, task, fence, worker)
  if ONLY_ALL[event] and not audit_all then return end
  audit_row(event, id, task, 0, 0, fence or 0, worker, '')
end

-- Of a record that is there as a string only.
local function audit_packed(event, id, packed)
  local unpacked, m, c = pcall(function() return decode_valid(packed) end)
  if not unpacked or not m then return end -- who gets it finds that out as well
  audit_row(event, id, m[TASK], c[ATTEMPT], c[DELIVERY], c[FENCE], c[WORKER])
end

-- @end
