-- What each outcome does to the message that it ends.
-- A row of a commit is {id, fence, kind, detail, ...}, the rest as the functions below name it.
-- @include claims.lua
-- @include storing.lua

local apply = {}

function apply.succeeded(r, detail, result, keep)
  finish(r, 'succeeded', '', result, keep, false, detail)
end

function apply.failed(r, detail, reason, failure)
  finish(r, 'failed', reason, '', false, failure, detail)
end

function apply.ignored(r, detail) finish(r, 'revoked', 'ignored', '', false, false, detail) end

function apply.revoked(r, detail) finish(r, 'revoked', 'terminated', '', false, false, detail) end

function apply.rejected(r, detail, requeue, failure)
  if not requeue then
    finish(r, 'failed', 'rejected', '', false, failure, detail)
  elseif r.c[DELIVERY] >= static(r)[MAX_DELIVERIES] then
    finish(r, 'failed', 'delivery limit', '', false, failure, detail)
  else
    audit('rejected', r, detail)
    again(r, false)
  end
end

function apply.retry(r, detail, delay_ms, at_ms, failure, payload, queue)
  local c = r.c
  audit('retry', r, detail)
  c[ATTEMPT], c[DELIVERY], c[BOUNCES] = c[ATTEMPT] + 1, 0, 0
  set_field(r, 'f', failure)
  if payload then set_field(r, 'p', payload) end
  if queue then c[QUEUE] = queue end
  again(r, at_ms or now + delay_ms)
end

function apply.released(r, detail, delay_ms, bounce)
  uncount(r)
  if bounce then r.c[BOUNCES] = r.c[BOUNCES] + 1 end
  audit(bounce and 'unknown task' or 'released', r, detail)
  again(r, delay_ms > 0 and now + delay_ms, true)
end

function apply.doomed(r, detail, failure)
  set_field(r, 'd', failure)
  audit('doomed', r, detail)
  again(r, false, true)
end

function apply.keyed(r, _, once)
  uncount(r)
  set_extra(r, 'once', once)
  set_extra(r, 'admitted', nil)
  if admit(r) then again(r, false, true) end
end

function apply.replaced(r, _, rows, mirrored)
  if mirrored == '' then
    refusal = 'REPLACEMENT nothing that replaces message ' .. r.id .. ' has a mirror edge to it'
  end
  set_extra(r, 'mirrors', mirrored)
  set_state(r, 'waiting')
  for _, row in ipairs(rows) do store(row) end
end

local AGAIN = { retry = true, released = true, keyed = true, replaced = true, doomed = true }

-- Returns whether the commit was applied, now or before.
local function commit(row, worker)
  local r, fence, kind = load(row[1]), row[2], row[3]
  if not r or r.c[STATE] ~= 'running' or r.c[FENCE] ~= fence then
    if r and r.c[COMMITTED] == fence then return true end
    audit_id('stale', row[1], r and static(r)[TASK] or '', fence, worker)
    return false
  end
  r.c[COMMITTED] = fence
  attempt_over(r)
  if r.x.revoked and (AGAIN[kind] or (kind == 'rejected' and row[5])) then
    finish(r, 'revoked', 'revoked')
  else
    apply[kind](r, unpack(row, 4))
  end
  return true
end
