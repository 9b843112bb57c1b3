-- How a message is stored: by producers, by beats, and in the place of another.
-- @include stages.lua

local refusal -- an error to reply instead of writing anything

local function receipt(id, kind, holder, countdown)
  return { id, kind, holder or false, countdown or 0 }
end

-- How long a message that is scheduled will not start; 0 = it is not.
local function time_left(r)
  return r and r.c[STATE] == 'scheduled' and r.c[DUE] and r.c[DUE] - now or 0
end

local function receipt_again(r)
  local once = r.x.once
  if r.x.mirrors then return receipt(r.id, 'joined', r.x.mirrors) end
  if r.x.parked and once and once[POLICY] == 'rerun' then return receipt(r.id, 'rerun') end
end

local function overwrite(r, id, payload, headers, kind)
  set_field(r, 'p', payload)
  set_field(r, 'h', headers ~= '' and headers)
  changed(r)
  audit(kind, r)
  return receipt(id, kind, r.id)
end

-- The answer to a message that is not stored because its once-key is held; nil = it is free.
local function refuse(id, m, payload, headers)
  local once = m[ONCE]
  local lock = once and HELD_UNTIL[once[SCOPE]] and lock_of(once[KEY])
  if not lock or lock.owner == id or m[JOINS] or once[POLICY] == 'reschedule' then return nil end
  local holder, policy = load(lock.owner), once[POLICY]
  local waiting = holder and not FINAL[holder.c[STATE]] and holder.c[STATE] ~= 'running' and holder
  if policy == 'rerun' and not waiting then
    local behind = parked_first(once[KEY])
    behind = behind and load(behind)
    if not behind then return nil end
    return overwrite(behind, id, payload, headers, 'rerun')
  end
  if waiting and (policy == 'replace' or policy == 'rerun') then
    return overwrite(waiting, id, payload, headers, 'replaced')
  end
  audit_id('duplicate', lock.owner, holder and static(holder)[TASK] or m[TASK])
  local left = lock.until_ms > 0 and lock.until_ms - now or time_left(holder)
  return receipt(id, 'duplicate', lock.owner, left)
end

-- Take the place of a record that has ended.
local function succeed(r, old)
  forget_inputs(old)
  forget_steps(old)
  r.recreated, old.superseded = true, true
  r.c[VERSION] = old.c[VERSION] + 1
  r.old_state, r.old_queue, r.old_session = old.old_state, old.old_queue, old.old_session
  r.old_expires, r.old_reason = old.old_expires, old.old_reason
end

local function extras(m, edges, stage)
  local x = {}
  if m[WAITS] > 0 then x.waits = m[WAITS] end
  if m[EXPIRES_AT] or m[EXPIRES_IN] then x.born = next_number('seq') end
  x.once, x.edges, x.stage = m[ONCE] or nil, edges or nil, stage
  return next(x) and x or NO_EXTRAS
end

local function new_record(id, m, packed_m, payload, headers, edges, stage)
  local x = extras(m, edges, stage)
  return {
    id = id, key = prefix .. 'm:' .. id, m = m, x = x, packed_m = packed_m,
    c = {
      'waiting', 0, '', 1, 0, 0, 0, 0, 0, false, false, now, false, m[EXPIRES_AT], false, false,
      false, m[M_QUEUE], m[M_RESULT_TTL],
    },
    fields = { m = packed_m, p = payload, h = headers ~= '' and headers or nil },
    x_changed = x ~= NO_EXTRAS, old_state = false, moved = true,
  }
end

-- Store one row {id, packed m, payload, headers, edges or false}. Returns its receipt; nil =
-- created.
local function store(row, stage)
  local id, m, old = row[1], cmsgpack.unpack(row[2]), load(row[1])
  if old then
    if static(old)[TOKEN] == m[TOKEN] then return receipt_again(old) end
    if not FINAL[old.c[STATE]] then
      audit('duplicate', old)
      return receipt(id, 'duplicate', id, time_left(old))
    end
  elseif foreign[id] then
    refusal = refusal or 'FOREIGN the key of message ' .. id .. ' is in use for something else'
    return nil
  end
  local refused = m[ONCE] and refuse(id, m, row[3], row[4])
  if refused then
    if old then forget(old) end
    return refused
  end
  local r = new_record(id, m, row[2], row[3], row[4], row[5], stage)
  if old then succeed(r, old) end
  records[id] = r
  touch(r)
  audit('enqueued', r)
  if stage then put_off('RPUSH', prefix .. 'stage:' .. stage, id) end
  if m[ONCE] and HELD_UNTIL[m[ONCE][SCOPE]] and not admit(r) then return receipt_again(r) end
  if startable(r) then ready(r) end
end

-- Store the rows of a batch. Returns {held, index, kind, holder, countdown, ...} with four values
-- for each message that was not simply created.
local function store_batch(rows, stage, seal, deadline, limit)
  local sealed
  if stage then
    sealed = redis.call('ZSCORE', prefix .. 'sealed', stage)
    put_off('ZADD', prefix .. (sealed and 'sealed' or 'stages'), deadline, stage)
    stage_is_open[stage] = not sealed
  end
  local reply = { 0 }
  for index, row in ipairs(rows) do
    local got = store(row, stage)
    if got then
      reply[#reply + 1] = index
      for part = 2, 4 do reply[#reply + 1] = got[part] end
    end
  end
  if refusal then return redis.error_reply(refusal) end
  flush()
  if stage and seal then
    if not sealed then
      put_off('ZREM', prefix .. 'stages', stage)
      put_off('ZADD', prefix .. 'sealed', deadline, stage)
    end
    reply[1] = open_stage(stage, limit)
    flush()
  end
  return reply
end
