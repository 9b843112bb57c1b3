-- Apply the outcome of an attempt, if it is not a success.
-- @include claims.lua
-- @include storing.lua

local outcome_of -- kind -> the function that applies it; made when it is needed
local AGAIN = { retry = true, released = true, keyed = true, replaced = true, doomed = true }

-- @rare

local function apply_failed(r, detail, reason, failure)
  finish(r, 'failed', reason, '', false, failure, detail)
end

local function apply_ignored(r, detail) finish(r, 'revoked', 'ignored', '', false, false, detail) end

local function apply_revoked(r, detail) finish(r, 'revoked', 'terminated', '', false, false, detail) end

local function apply_rejected(r, detail, requeue, failure)
  if not requeue then
    finish(r, 'failed', 'rejected', '', false, failure, detail)
  elseif r.c[DELIVERY] >= static(r)[MAX_DELIVERIES] then
    finish(r, 'failed', 'delivery limit', '', false, failure, detail)
  else
    audit('rejected', r, detail)
    queue_again(r, false)
  end
end

local function apply_retry(r, detail, delay_ms, at_ms, failure, payload, headers, queue, priority, expires)
  local c = r.c
  audit('retry', r, detail)
  c[ATTEMPT], c[DELIVERY], c[BOUNCES] = c[ATTEMPT] + 1, 0, 0
  set_extra(r, 'failure', failure)
  if payload then set_payload(r, cmsgpack.pack(payload)) end
  if headers or priority then set_static(r, headers, priority) end
  if queue then c[QUEUE] = queue end
  if expires then c[EXPIRES] = expires end
  queue_again(r, at_ms or now + delay_ms)
end

local function apply_released(r, detail, delay_ms, bounce, begun)
  uncount(r)
  if bounce or begun then r.c[BOUNCES] = r.c[BOUNCES] + 1 end
  audit(bounce and 'unknown task' or 'released', r, detail)
  queue_again(r, delay_ms > 0 and now + delay_ms, true)
end

local function apply_doomed(r, detail, failure)
  local doom = r.x.doom
  if doom or r.c[DELIVERY] > static(r)[MAX_DELIVERIES] then -- its hooks had their chance
    finish(r, 'failed', 'time limit', '', false, doom or failure, detail)
    return
  end
  set_extra(r, 'doom', failure)
  audit('doomed', r, detail)
  queue_again(r, false, true)
end

local function apply_keyed(r, _, once)
  local old = r.x.once
  uncount(r)
  if old and old[KEY] ~= once[KEY] then free_lock(old[KEY], r.id) end
  set_extra(r, 'once', once)
  set_extra(r, 'admitted', nil)
  if admit(r) then queue_again(r, false, true) end
end

local function apply_replaced(r, _, rows, mirrored)
  if mirrored == '' then
    refusal = 'REPLACEMENT nothing that replaces message ' .. r.id .. ' has a mirror edge to it'
  end
  set_extra(r, 'mirrors', mirrored)
  r.c[EXPIRES] = false -- it has been started
  set_state(r, 'waiting')
  store_rows(rows, nil, {}, r.id)
end

local function apply_outcome(r, kind, row)
  outcome_of = outcome_of or {
    failed = apply_failed, ignored = apply_ignored, revoked = apply_revoked,
    rejected = apply_rejected, retry = apply_retry, released = apply_released,
    doomed = apply_doomed, keyed = apply_keyed, replaced = apply_replaced,
  }
  outcome_of[kind](r, unpack(row, 4))
end

-- A message that was revoked while it ran does not run again. Returns whether that ended it.
local function revoked_instead(r, kind, requeue)
  if not AGAIN[kind] and not requeue then return false end
  finish(r, 'revoked', 'revoked')
  return true
end

-- A claim that is not the latest one: it was committed before, or taken away.
local function refuse_commit(r, id, fence, worker)
  if r and r.c[COMMITTED] == fence then return true end
  audit_id('stale', id, r and static(r)[TASK] or '', fence, worker)
  return false
end

-- @end
