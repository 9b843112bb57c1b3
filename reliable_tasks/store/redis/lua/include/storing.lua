-- Store messages: of producers, of beats, and those that replace another one.
-- @include stages.lua

local refusal -- an error to reply instead of writing anything

-- @rare

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
  if r.x.parked and once and once[ON_CONFLICT] == 'rerun' then return receipt(r.id, 'rerun') end
end

-- Other headers and another priority, where they are given; the payload behind them stays.
local function set_static(r, headers, priority)
  local m = static(r)
  if headers then m[HEADERS] = headers end
  if priority then m[PRIORITY], r.priority = priority, priority end
  r.rest = cmsgpack.pack(m) .. string.sub(r.rest, -r.c[SIZE_OF_P])
end

local function overwrite(r, id, packed, headers, kind)
  set_static(r, headers)
  set_payload(r, packed)
  forget_steps(r) -- they were those of another call
  changed(r)
  audit(kind, r)
  return receipt(id, kind, r.id)
end

-- The answer to a message that is not stored because its once-key is held; nil = it is free.
local function refuse(id, m, packed)
  local once = m[ONCE]
  local lock = once and HELD_UNTIL[once[SCOPE]] and lock_of(once[KEY])
  if not lock or lock.owner == id or m[JOINS_DUPLICATE] or once[ON_CONFLICT] == 'reschedule' then return nil end
  local holder, policy = load(lock.owner), once[ON_CONFLICT]
  local waiting = holder and not FINAL[holder.c[STATE]] and holder.c[STATE] ~= 'running'
    and not holder.x.mirrors and holder
  if policy == 'rerun' and not waiting then
    local behind = parked_first(once[KEY])
    behind = behind and load(behind)
    if not behind then return nil end
    return overwrite(behind, id, packed, m[HEADERS], 'rerun')
  end
  if waiting and (policy == 'replace' or policy == 'rerun') then
    return overwrite(waiting, id, packed, m[HEADERS], 'replaced')
  end
  audit_id('duplicate', lock.owner, holder and static(holder)[TASK] or m[TASK])
  local left = lock.until_ms > 0 and lock.until_ms - now or time_left(holder)
  return receipt(id, 'duplicate', lock.owner, left)
end

-- Take the place of a record that has ended.
local function supersede(r, old)
  if is_dead(old.c[STATE], old.c[REASON]) then audit('dropped', old, '{"reason":"enqueued again"}') end
  forget_inputs(old)
  forget_steps(old)
  forget_payload(old)
  old.superseded = true
  r.c[VERSION] = old.c[VERSION] + 1
  r.old_state, r.old_queue, r.old_session = old.old_state, old.old_queue, old.old_session
  r.old_expires, r.old_reason = old.old_expires, old.old_reason
end

-- Whether a message is not stored because of the record with its id, and then the receipt: none
-- where the same call has created it before. A record that has ended gives way to another call's,
-- unless it is to be kept. Without a payload it counts as a call with other arguments.
local function is_known(old, m, packed, keep_ended)
  if static(old)[TOKEN] == m[TOKEN] then return true, receipt_again(old) end
  if FINAL[old.c[STATE]] and not keep_ended then return false end
  local same = static(old)[TASK] == m[TASK] and payload_of(old) == packed
  audit(same and 'duplicate' or 'conflict', old)
  if same then return true, receipt(old.id, 'duplicate', old.id, time_left(old)) end
  return true, receipt(old.id, 'conflict', static(old)[TASK], time_left(old))
end

-- The extras of a new message, from its m.
local function extras(m, edges, stage, graft)
  local x = {}
  if m[WAITS] > 0 then x.waits = m[WAITS] end
  x.once, x.edges, x.stage, x.graft = m[ONCE] or nil, edges or nil, stage, graft
  return next(x) and x or NO_EXTRAS
end

-- @end

local function new_record(row, m, stage, graft)
  local edges, at_once = row[ROW_EDGES], not m
  local has_extras = m or edges or stage or graft
  return {
    id = row[ROW_ID], key = prefix .. 'm:' .. row[ROW_ID], rest = row[ROW_M] .. row[ROW_P], m = m,
    priority = row[ROW_PRIORITY], at_once = at_once,
    x = has_extras and extras(m or cmsgpack.unpack(row[ROW_M]), edges, stage, graft) or NO_EXTRAS,
    c = { -- in the order of fields.lua
      'waiting', 0, '', 1, 0, 0, 0, 0, 0, false, false, now, false, m and m[EXPIRES_AT], false,
      false, false, row[ROW_QUEUE], row[ROW_RESULT_TTL], false, false, #row[ROW_P],
    },
    old_state = false, moved = true, popped = false, dirty = false, packed = false,
  }
end

-- Store one row {id, m, p, edges or false, queue, priority, result_ttl, whether there is nothing
-- in m but one plain call to start at once}; `graft` is the message in whose place it is to stand.
-- Returns its receipt; nil = created.
local function store(row, stage, graft, keep_ended)
  local id, p, old = row[ROW_ID], row[ROW_P], load(row[ROW_ID])
  local m = (old or not row[ROW_AT_ONCE]) and cmsgpack.unpack(row[ROW_M])
  if old then
    local known, said = is_known(old, m, p, keep_ended)
    if known then return said end
  elseif foreign[id] then
    refusal = refusal or 'FOREIGN the key of message ' .. id .. ' is in use for something else'
    return nil
  end
  local refused = m and m[ONCE] and refuse(id, m, p)
  if refused then return refused end
  local r = new_record(row, m, stage, graft)
  if old then supersede(r, old) end
  if #p > INLINE then set_payload(r, p) end
  records[id] = r
  touch(r)
  audit('enqueued', r)
  if stage then defer('RPUSH', prefix .. 'stage:' .. stage, id) end
  if m and m[ONCE] and HELD_UNTIL[m[ONCE][SCOPE]] and not admit(r) then return receipt_again(r) end
  if startable(r) then make_ready(r) end
end

-- Keys of ours that somebody else has put something into are not written over.
local function find_foreign(rows)
  local keys = {}
  for _, row in ipairs(rows) do
    if not records[row[ROW_ID]] then keys[#keys + 1] = prefix .. 'm:' .. row[ROW_ID] end
  end
  for first = 1, #keys, BY_ONE_CALL do
    local last = math.min(first + BY_ONE_CALL - 1, #keys)
    if redis.call('EXISTS', unpack(keys, first, last)) > 0 then
      for index = first, last do
        local id = string.sub(keys[index], #prefix + 3)
        if redis.call('EXISTS', keys[index]) > 0 then foreign[id] = true end
      end
    end
  end
end

local function store_rows(rows, stage, reply, graft, keep_ended)
  local ids = {}
  for index, row in ipairs(rows) do ids[index] = row[ROW_ID] end
  load_all(ids)
  find_foreign(rows)
  reserve = math.max(1, #rows)
  for index, row in ipairs(rows) do
    local got = store(row, stage, graft, keep_ended)
    if got then
      reply[#reply + 1] = index
      for part = 2, 4 do reply[#reply + 1] = got[part] end
    end
  end
end

-- Store the rows of a batch. Returns {held, index, kind, holder, countdown, ...} with four values
-- for each message that was not simply created, where the holder of a conflict is the other call's
-- task, since its id is the message's; -2 - held where resume.lua has something to do.
local function store_batch(rows, stage, seal, deadline, limit, keep_ended)
  local sealed
  if stage then
    sealed = redis.call('ZSCORE', prefix .. 'sealed', stage)
    defer('ZADD', prefix .. (sealed and 'sealed' or 'stages'), deadline, stage)
    stage_is_open[stage] = not sealed
  end
  local reply = { 0 }
  store_rows(rows, stage, reply, nil, keep_ended)
  if refusal then return redis.error_reply(refusal) end
  flush(stage and seal)
  if stage and seal then
    if not sealed then
      defer('ZREM', prefix .. 'stages', stage)
      defer('ZADD', prefix .. 'sealed', deadline, stage)
    end
    reply[1] = open_stage(stage, limit)
    flush()
  end
  if has_edges_left() then reply[1] = -2 - reply[1] end
  return reply
end
