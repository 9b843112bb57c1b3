-- Built of set_aside.lua by `python -m tests.lua.build`.
local F = { absorb = false, absorb_all = false, add_row = false, audit = false, changed = false, clock_now = false, count = false, count_in = false, defer = false, drain = false, end_one = false, end_understood = false, event_of = false, finish = false, flush = false, forget_payload = false, in_parts = false, is_apart = false, is_awaited = false, is_ours = false, is_record = false, is_watched = false, keys_and_strings = false, list_of = false, load = false, load_all = false, make_ready = false, move = false, next_seq = false, notify_all = false, notify_changed = false, place_of = false, publish = false, queue_at = false, queue_of = false, read_inbox = false, remember = false, ring = false, score_of = false, set_payload = false, set_state = false, startable = false, static = false, store_each = false, string_of = false, touch = false, wake = false, write_moves = false, write_records = false }
-- clock.lua
function F.clock_now(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
-- call.lua
local prefix, now, audit_all = KEYS[1], F.clock_now(ARGV[1]), string.sub(ARGV[2], 1, 3) == 'all'
-- notify.lua
function F.count_in(state, queue, by)
  local name = state .. ':' .. queue
  if by ~= 0 and redis.call('HINCRBY', prefix .. 'counts', name, by) == 0 then
    redis.call('HDEL', prefix .. 'counts', name)
  end
end
function F.ring(queue)
  redis.call('XADD', prefix .. 'inbox:' .. queue, 'NOMKSTREAM', '*', '', '')
end
function F.wake(queue)
  if redis.call('XLEN', prefix .. 'inbox:' .. queue) == 0 then F.ring(queue) end
end
function F.is_watched() return redis.call('EXISTS', prefix .. 'watched') == 1 end
function F.is_awaited()
  return redis.call('EXISTS', prefix .. 'watched', prefix .. 'awaited') > 0
end
function F.publish(id, state, ended)
  if ended and #ended <= 8192 then state = state .. ' ' .. ended end
  redis.call('PUBLISH', prefix .. 'changed:' .. id, state)
end
function F.notify_changed(ids, state)
  if not F.is_watched() then return end
  for _, id in ipairs(ids) do F.publish(id, state) end
end
-- layout.lua
local PLACE_IN_QUEUE = 2 ^ 44
-- trail.lua
function F.add_row(event, id, task, attempt, delivery, fence, worker, detail)
  local size = 200 + #id + #task + #worker + #detail
  local number = redis.call('XADD', prefix .. 'audit', '*', 'e', event, 'at', now, 'id', id, 't', task,
    'a', attempt, 'd', delivery, 'f', fence, 'w', worker, 'x', detail, 's', size)
  redis.call('RPUSH', prefix .. 'audit:' .. id, number)
  return number, redis.call('INCRBY', prefix .. 'auditbytes', size)
end
-- inbox.lua
function F.read_inbox(inbox, most)
  local numbers, ids, entries, strings, seen, found, size = {}, {}, {}, {}, {}, nil, nil
  repeat
    size = most - #ids + #numbers + 1
    local after = numbers[1] and '(' .. numbers[#numbers] or '-'
    found = redis.call('XRANGE', inbox, after, '+', 'COUNT', size)
    for _, entry in ipairs(found) do
      local id = entry[2][4]
      if id and #ids == most then break end
      numbers[#numbers + 1] = entry[1]
      if id and not seen[id] then
        seen[id] = true
        ids[#ids + 1], entries[#entries + 1] = id, entry
      end
    end
  until #found < size or #ids == most or #numbers > 1000
  local seq = ids[1] and redis.call('INCRBY', prefix .. 'seq', #ids) - #ids
  for index, entry in ipairs(entries) do
    local enqueued = ARGV[1] == '' and tonumber(string.match(entry[1], '%d+')) or now
    strings[index] = entry[2][1] .. struct.pack('>I8I8', enqueued, seq + index) .. entry[2][2]
  end
  return numbers, ids, strings, seq
end
function F.keys_and_strings(ids, strings)
  local found, start = {}, prefix .. 'm:'
  for index, id in ipairs(ids) do
    found[2 * index - 1], found[2 * index] = start .. id, strings[index]
  end
  return found
end
function F.store_each(ids, strings)
  local stored = {}
  for index, id in ipairs(ids) do
    stored[index] = redis.call('SET', prefix .. 'm:' .. id, strings[index], 'NX')
    if not stored[index] then F.add_row('duplicate', id, '', 0, 0, 0, '', '') end
  end
  return stored
end
function F.absorb(queue, takes_bells)
  local inbox = prefix .. 'inbox:' .. queue
  local there = redis.call('XLEN', inbox)
  if there == 0 then return 0 end
  local numbers, ids, strings, seq = F.read_inbox(inbox, 1000)
  if not (ids[1] or takes_bells) then return 0 end
  local taken = ids[1] and redis.call('MSETNX', unpack(F.keys_and_strings(ids, strings))) == 0
  local stored, scores, queued = taken and F.store_each(ids, strings), {}, {}
  for index, id in ipairs(ids) do
    local size = #queued
    if not stored or stored[index] then
      queued[size + 1], scores[2 * size + 1], scores[2 * size + 2] = id, seq + index, id
    end
  end
  redis.call('XDEL', inbox, unpack(numbers))
  if queued[1] then
    redis.call('ZADD', prefix .. 'q:' .. queue, unpack(scores))
    F.count_in('queued', queue, #queued)
    F.wake(queue)
    F.notify_changed(queued, 'queued')
  end
  return there - #numbers
end
function F.absorb_all()
  local queues, left = redis.call('SMEMBERS', prefix .. 'inboxes'), 0
  for _, queue in ipairs(queues) do
    if left == 0 then left = F.absorb(queue) end
  end
  return left
end
-- decode.lua
local FINAL = { succeeded = true, failed = true, revoked = true }
local NO_PAYLOAD = '\194'
function F.is_record(packed)
  local kind = string.byte(packed) or 0
  return kind == 147 or kind >= 5 and kind <= 8
end
function F.is_ours(packed)
  local kind = string.byte(packed) or 0
  return kind > 0 and kind < 32 or kind == 147
end
-- validate.lua
local KNOWN_STATES = {
  waiting = true, scheduled = true, queued = true, running = true,
  succeeded = true, failed = true, revoked = true,
}
local LARGEST_NUMBER = 2 ^ 53
local type_of = type
local is_whole = function(n)
  return type_of(n) == 'number' and n >= -LARGEST_NUMBER and n <= LARGEST_NUMBER and n % 1 == 0
end
local is_count = function(n)
  return type_of(n) == 'number' and n >= 0 and n <= LARGEST_NUMBER and n % 1 == 0
end
local is_text = function(s) return type_of(s) == 'string' end
local is_truth = function(b) return type_of(b) == 'boolean' end
local is_table = function(t) return type_of(t) == 'table' end
local or_none = function(fits) return function(value) return value == false or fits(value) end end
local maybe_whole, maybe_text, maybe_table = or_none(is_whole), or_none(is_text), or_none(is_table)
local once_fits = function(once)
  return is_text(once[1]) and is_text(once[2]) and is_text(once[3])
    and is_count(once[4])
end
local edges_fit = function(edges)
  for _, edge in ipairs(edges) do
    if not (is_text(edge[1]) and is_text(edge[2]) and is_whole(edge[3])) then return false end
  end
  return true
end
local OF_C = {
  function(state) return KNOWN_STATES[state] end, is_count, is_text, is_count, is_count, is_count,
  is_count, is_count, is_count, maybe_text, maybe_text, is_count,
  maybe_whole, maybe_whole, maybe_whole, maybe_whole, maybe_whole, is_text, is_count,
  maybe_table, maybe_text, is_count,
}
local OF_M = {
  is_text, is_text, is_whole, is_count, is_count, is_count,
  or_none(once_fits), is_text, maybe_whole, is_whole, maybe_whole, maybe_whole, is_truth, is_count,
}
local OF_X = {
  once = once_fits, edges = edges_fit, waits = is_whole, mirrors = is_text, parked = is_text,
  stage = is_text, graft = is_text, lent = is_text, revoked = is_text, failure = is_text,
  doom = is_text, progress = is_text, meta = is_text, inputs = is_count, ending = is_whole,
  broken = is_table,
}
-- record.lua
local NO_EXTRAS = {}
local APART = '\195'
local records = {}
local foreign = {}
local damaged = {}
local dirty = {}
local later = {}
local reserve = 1
local last_seq, seqs_left = 0, 0
function F.defer(...) later[#later + 1] = { ... } end
function F.next_seq()
  if seqs_left == 0 then
    last_seq, seqs_left = redis.call('INCRBY', prefix .. 'seq', reserve), reserve
  end
  seqs_left = seqs_left - 1
  return last_seq - seqs_left
end
function F.static(r)
  local m = r.m
  if not m then
    local _
    _, m = cmsgpack.unpack_one(r.rest, 0)
    r.m = m
  end
  return m
end
function F.remember(id, key, packed)
  local unpacked, m, c, rest = pcall(function() return F.decode_valid(packed) end)
  if not unpacked or not m then
    if F.is_ours(packed) then damaged[#damaged + 1] = { id = id, key = key, packed = packed, c = unpacked and c } end
    foreign[id], records[id] = true, false
    return false
  end
  local r = {
    id = id, key = key, c = c, x = c[20] or NO_EXTRAS, rest = rest,
    old_state = c[1], old_queue = c[18], old_session = c[10],
    old_expires = c[14], old_reason = c[3],
    dirty = false, moved = false, popped = false, m = m, packed = packed,
  }
  records[id] = r
  return r
end
function F.load_all(ids)
  for first = 1, #ids, 2000 do
    local keys, last = {}, math.min(first + 2000 - 1, #ids)
    for index = first, last do keys[index - first + 1] = prefix .. 'm:' .. ids[index] end
    for index, packed in ipairs(redis.call('MGET', unpack(keys))) do
      local id = ids[first + index - 1]
      if records[id] == nil then
        if packed then F.remember(id, keys[index], packed) else records[id] = false end
      end
    end
  end
end
function F.load(id)
  local r = records[id]
  if r == nil then
    F.load_all({ id })
    r = records[id]
  end
  return r
end
function F.touch(r)
  if not r.dirty then
    r.dirty = true
    dirty[#dirty + 1] = r
  end
end
function F.changed(r)
  local c = r.c
  c[2] = c[2] + 1
  F.touch(r)
end
function F.set_state(r, state)
  r.c[1], r.moved = state, true
  F.changed(r)
end
function F.is_apart(r)
  return r.c[22] == 1 and string.sub(r.rest, -1) == APART
end
function F.forget_payload(r)
  if F.is_apart(r) then F.defer('DEL', prefix .. 'p:' .. r.id) end
end
function F.set_payload(r, packed)
  F.forget_payload(r)
  r.apart = packed and #packed > 1024 and packed
  if r.apart then
    F.defer('SET', prefix .. 'p:' .. r.id, packed)
    packed = APART
  end
  packed = packed or NO_PAYLOAD
  r.rest = string.sub(r.rest, 1, -r.c[22] - 1) .. packed
  r.c[22] = #packed
  F.touch(r)
end
-- audit.lua
local ONLY_ALL = {
  enqueued = true, started = true, succeeded = true, promoted = true, released = true,
  step = true, fired = true,
}
local COUNTED = { duplicate = true, conflict = true, replaced = true, rerun = true }
local unwritten = {}
local counted = {}
local newest = {}
local written_rows, trail_bytes = 0, 0
local most_rows, most_bytes
function F.audit(event, r, detail)
  if ONLY_ALL[event] and not audit_all then return end
  local c = r.c
  F.audit_row(event, r.id, F.static(r)[1], c[4], c[5], c[7], c[11], detail)
end
-- scopes.lua
local HELD_UNTIL = {
  until_and_while_executing = true,
  until_executed = true,
  until_executing = true,
  until_expired = true,
}
local HELD_WHILE = {
  until_and_while_executing = true,
  while_executing = true,
}
local FREED_BY_END = {
  until_and_while_executing = true,
  until_executed = true,
  until_executing = true,
}
-- once.lua
local lock_table = {}
local parking = {}
-- write.lua
local before_flush = false
local ARRAY = '\147'
local moves
local places = { queued = {}, running = {} }
function F.place_of(state, queue, session)
  local known = places[state]
  if not known then
    if FINAL[state] then return 'ended:' .. state end
    return state
  end
  local name = state == 'queued' and queue or session
  local place = known[name]
  if not place then
    place = (state == 'queued' and 'q:' or 'claims:') .. name
    known[name] = place
  end
  return place
end
function F.score_of(r, state)
  local c = r.c
  if state == 'succeeded' or state == 'revoked' then
    local ttl = c[19]
    return ttl > 0 and c[17] + ttl or '+inf'
  end
  if state == 'running' then return c[7] end
  if state == 'queued' then return (r.priority or F.static(r)[3]) * PLACE_IN_QUEUE + c[9] end
  if state == 'scheduled' then return c[13] end
  if state == 'waiting' then return c[12] end
  local ttl = F.static(r)[5]
  return ttl > 0 and c[17] + ttl or '+inf'
end
function F.list_of(lists, key)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  return list
end
function F.in_parts(command, key, values)
  for first = 1, #values, 2000 do
    redis.call(command, key, unpack(values, first, math.min(first + 2000 - 1, #values)))
  end
end
function F.count(state, queue, by)
  if FINAL[state] then return end
  local by_state = F.list_of(moves.counts, queue)
  by_state[state] = (by_state[state] or 0) + by
end
function F.move(r)
  local c, id, old_state = r.c, r.id, r.old_state
  local state = not r.deleted and c[1]
  local old_place = old_state and F.place_of(old_state, r.old_queue, r.old_session)
  local place = state and F.place_of(state, c[18], c[10])
  if place ~= old_place then
    if old_place then
      if not r.popped then
        local list = F.list_of(moves.remove, old_place)
        list[#list + 1] = id
      end
      F.count(old_state, r.old_queue, -1)
    end
    if place then F.count(state, c[18], 1) end
  end
  if place and r.moved then
    local list = F.list_of(moves.add, place)
    list[#list + 1] = F.score_of(r, state)
    list[#list + 1] = id
    if state == 'queued' then
      moves.queued[c[18]] = true
    elseif state == 'scheduled' then
      moves.scheduled[c[18]] = true
    end
  end
  if c[14] or r.old_expires or state == 'failed' or old_state == 'failed' then
    F.move_aside(r, state)
  end
end
function F.string_of(r)
  local c, x, rest = r.c, r.x, r.rest
  c[20] = x ~= NO_EXTRAS and next(x) and x or false
  if c[1] ~= 'queued' or c[20] or c[14] or F.is_apart(r) then
    return ARRAY .. cmsgpack.pack(c) .. rest
  end
  local enqueued, seq, size = c[12], c[9], c[22]
  c[12], c[9], c[22] = 0, 0, 0
  local kind = cmsgpack.pack(c) .. string.sub(rest, 1, -size - 1)
  c[12], c[9], c[22] = enqueued, seq, size
  return struct.pack('>BI4I8', 5, 13 + #kind, c[19]) .. kind
    .. struct.pack('>I8I8', enqueued, seq) .. string.sub(rest, -size)
end
function F.write_records(list)
  local pairs_, gone = {}, {}
  for _, r in ipairs(list) do
    if not r.superseded then
      F.move(r)
      if r.deleted then
        gone[#gone + 1] = r.key
      else
        r.packed = F.string_of(r)
        local size = #pairs_
        pairs_[size + 1], pairs_[size + 2] = r.key, r.packed
      end
    end
  end
  for _, key in ipairs(gone) do redis.call('DEL', key) end
  for first = 1, #pairs_, 2000 do
    redis.call('MSET', unpack(pairs_, first, math.min(first + 2000 - 1, #pairs_)))
  end
end
function F.write_moves()
  for place, ids in pairs(moves.remove) do F.in_parts('ZREM', prefix .. place, ids) end
  local scheduled = moves.add.scheduled
  local first = scheduled and redis.call('ZRANGE', prefix .. 'scheduled', 0, 0)[1]
  for place, pairs_ in pairs(moves.add) do F.in_parts('ZADD', prefix .. place, pairs_) end
  for queue, by_state in pairs(moves.counts) do
    for state, by in pairs(by_state) do F.count_in(state, queue, by) end
  end
  if scheduled then F.wake_watcher(first) end
end
function F.flush(more)
  if damaged[1] then F.dead_letter_damaged() end
  if before_flush then before_flush() end
  if unwritten[1] or counted[1] then F.write_trail() end
  if written_rows > 0 and not more then F.trim_if_it_is_much() end
  if not (dirty[1] or later[1] or next(lock_table)) then return end
  local commands, list = later, dirty
  later, dirty, records = {}, {}, {}
  moves = { add = {}, remove = {}, counts = {}, queued = {}, scheduled = {} }
  F.write_records(list)
  for _, command in ipairs(commands) do redis.call(unpack(command)) end
  F.write_moves()
  if next(lock_table) or next(parking) then F.flush_locks() end
  for queue in pairs(moves.queued) do F.wake(queue) end
  if list[1] then F.notify_all(list) end
end
function F.notify_all(list)
  local watched = F.is_watched()
  if not watched and not F.is_awaited() then return end
  for _, r in ipairs(list) do
    local state = r.c[1]
    if watched or FINAL[state] then F.publish(r.id, state, FINAL[state] and not r.deleted and r.packed) end
  end
end
-- transitions.lua
local BECAUSE_EVENT = {
  expired = 'expired', ignored = 'ignored', purged = 'purged', rejected = 'rejected',
}
local endings, first_ending, last_ending, followed, left_behind = {}, 1, 0, 0, false
local stage_is_open = {}
function F.queue_at(r, due, keep_place)
  r.c[13] = due
  if due and due > now then
    F.set_state(r, 'scheduled')
    return
  end
  if not keep_place or r.c[9] == 0 then r.c[9] = F.next_seq() end
  F.set_state(r, 'queued')
end
function F.event_of(state, reason)
  if state == 'succeeded' then return 'succeeded' end
  return BECAUSE_EVENT[reason] or (state == 'failed' and 'failed' or 'revoked')
end
function F.end_one(r, state, reason, result, keep, failure, detail)
  local c = r.c
  local was = c[1]
  c[3], c[17], c[13] = reason, now, false
  c[21] = keep and result or false
  if state ~= 'failed' then F.set_payload(r, false) end
  F.set_state(r, state)
  if not detail or detail == '' then
    detail = reason ~= '' and '{"reason":"' .. reason .. '"}' or ''
  end
  F.audit(F.event_of(state, reason), r, detail)
  if failure or r.x ~= NO_EXTRAS then F.end_extras(r, was, failure, result, keep) end
end
function F.finish(r, state, reason, result, keep, failure, detail)
  F.end_one(r, state, reason, result or '', keep, failure or false, detail)
  F.drain()
end
function F.drain()
  while first_ending <= last_ending and followed < 200 do
    local ending = endings[first_ending]
    local edge = ending.edges[ending.followed + 1]
    if edge then
      if ending.followed == 0 then F.load_children(ending.edges, 200 - followed) end
      ending.followed, followed = ending.followed + 1, followed + ending.cost
      F.follow(ending.parent, edge, ending.result, ending.keep)
    else
      endings[first_ending] = nil
      first_ending = first_ending + 1
    end
  end
end
before_flush = function() F.leave_all_edges() end
function F.startable(r)
  local x = r.x
  if x == NO_EXTRAS then return r.c[1] == 'waiting' end
  return r.c[1] == 'waiting' and (x.waits or 0) == 0 and not x.parked and not x.mirrors
    and not (x.stage and F.stage_open(x.stage))
end
function F.make_ready(r)
  if r.x.once and not r.x.admitted and not F.admit(r) then return end
  if r.at_once then return F.queue_at(r, false) end
  local m = F.static(r)
  if m[12] then r.c[14] = now + m[12] end
  F.queue_at(r, m[9] or (m[10] > 0 and now + m[10]))
end
setmetatable(F, { __index = function(_, missed)
setmetatable(F, nil)
-- decode.lua
function F.decode(packed)
  if not F.is_record(packed) then return nil end
  local kind, head = string.byte(packed), 0
  if kind == 147 then
    local offset, c = cmsgpack.unpack_one(packed, 1)
    return c, string.sub(packed, offset + 1)
  end
  local fence, size
  if kind ~= 5 then
    fence, size = struct.unpack('>I8I2', packed, 2)
    head = 11 + size
  end
  local place = head + struct.unpack('>I4', packed, head + 2) + 1
  local offset, c = cmsgpack.unpack_one(packed, head + 13)
  local m, place_of_p = string.sub(packed, offset + 1, place - 1), place + 16
  c[12], c[9] = struct.unpack('>I8I8', packed, place)
  c[22] = #packed - place_of_p + 1
  if kind == 5 then return c, m .. string.sub(packed, place_of_p) end
  local stamp = cmsgpack.unpack(string.sub(packed, 11 + 1, head))
  c[1], c[2], c[7], c[5] = 'running', c[2] + 1, fence, c[5] + 1
  c[10], c[11], c[16] = stamp[1], stamp[2], stamp[3]
  c[15] = c[15] or stamp[3]
  if kind == 6 then return c, m .. string.sub(packed, place_of_p) end
  c[1], c[2], c[3], c[8] = 'succeeded', c[2] + 1, '', fence
  c[10], c[13], c[17] = false, false, struct.unpack('>I8', packed, place_of_p)
  c[21] = kind == 7 and string.sub(packed, place_of_p + 8)
  c[22] = 1
  return c, m .. NO_PAYLOAD
end
-- validate.lua
function F.all_valid(checks, values)
  for index = 1, #checks do
    if not checks[index](values[index]) then return false end
  end
  return true
end
function F.control_is_valid(c)
  if not F.all_valid(OF_C, c) then return false end
  local state = c[1]
  if state == 'running' and not c[10] or state == 'scheduled' and not c[13] then return false end
  if FINAL[state] and not c[17] then return false end
  for name, value in pairs(c[20] or {}) do
    local check = OF_X[name]
    if check and value and not check(value) then return false end
  end
  return true
end
function F.decode_valid(packed)
  local c, rest = F.decode(packed)
  if not F.control_is_valid(c) then return nil, c end
  local known, offset, m = pcall(cmsgpack.unpack_one, rest, 0)
  if not known or offset + c[22] ~= #rest or not F.all_valid(OF_M, m) then return nil, c end
  return m, c, rest
end
-- record.lua
function F.is_dead(state, reason)
  return state == 'failed' and reason ~= 'parent' and reason ~= 'mirror'
end
function F.expiry_of(state, expires)
  return not FINAL[state] and state ~= 'running' and expires
end
function F.set_extra(r, name, value)
  if r.x == NO_EXTRAS then r.x = {} end
  r.x[name] = value
  F.touch(r)
end
function F.forget_inputs(r)
  if r.x.inputs then
    F.defer('DEL', prefix .. 'in:' .. r.id)
    F.set_extra(r, 'inputs', nil)
  end
end
function F.forget_steps(r)
  if r.x.steps then
    F.defer('DEL', prefix .. 'step:' .. r.id)
    F.set_extra(r, 'steps', nil)
  end
end
-- audit.lua
function F.newest_row(id)
  local row = newest[id]
  if row == nil then
    local number = redis.call('LINDEX', prefix .. 'audit:' .. id, -1)
    local found = number and redis.call('XRANGE', prefix .. 'audit', number, number)[1]
    row = found and { number = number, event = found[2][2], at = tonumber(found[2][4]), again = 0 } or false
    newest[id] = row
  end
  return row
end
function F.count_again(event, id)
  local row = F.newest_row(id)
  if not row or row.event ~= event or row.at <= now - 60000 then return false end
  row.again = row.again + 1
  if row.again == 1 then counted[#counted + 1] = row end
  return true
end
function F.audit_row(event, id, task, attempt, delivery, fence, worker, detail)
  if COUNTED[event] and F.count_again(event, id) then return end
  local told = { event, id, task, attempt, delivery, fence, worker or '', detail or '' }
  local row = { event = event, at = now, again = 0, told = told }
  newest[id], unwritten[#unwritten + 1] = row, row
end
function F.write_trail()
  for _, row in ipairs(unwritten) do row.number, trail_bytes = F.add_row(unpack(row.told)) end
  written_rows = written_rows + #unwritten
  for _, row in ipairs(counted) do
    local before = redis.call('HGET', prefix .. 'auditagain', row.number)
    local again = row.again + (before and string.match(before, '%d+') or 0)
    redis.call('HSET', prefix .. 'auditagain', row.number, again .. ' ' .. now)
  end
  unwritten, counted, newest = {}, {}, {}
end
function F.trim_if_it_is_much()
  local most = math.max(100, 2 * written_rows)
  written_rows = 0
  if F.is_beyond(redis.call('XLEN', prefix .. 'audit'), trail_bytes, 1 + 1 / 64) then F.trim_trail(most, -1) end
end
function F.is_beyond(rows, bytes, part)
  most_rows = most_rows or tonumber(string.match(ARGV[2], ' (%d+) '))
  most_bytes = most_bytes or tonumber(string.match(ARGV[2], '%d+$'))
  return most_rows > 0 and rows > math.floor(most_rows * part)
    or most_bytes > 0 and bytes > math.floor(most_bytes * part)
end
function F.forget_rows(by_message)
  local forgotten = {}
  for id, number in pairs(by_message) do
    local list = prefix .. 'audit:' .. id
    redis.call('LTRIM', list, number, -1)
    if redis.call('EXISTS', list) == 1 then
      redis.call('HINCRBY', prefix .. 'auditcut', id, number)
    else
      forgotten[#forgotten + 1] = id
    end
  end
  F.in_parts('HDEL', prefix .. 'auditcut', forgotten)
end
function F.trim_trail(most, too_old)
  local stream, rows = prefix .. 'audit', redis.call('XLEN', prefix .. 'audit')
  local bytes = tonumber(redis.call('GET', prefix .. 'auditbytes') or 0)
  local dropped, last, cut, rest, by_message, again = 0, false, 0, true, {}, {}
  while rest and dropped < most do
    local size = math.min(dropped + 1, 100, most - dropped)
    local page = redis.call('XRANGE', stream, last and '(' .. last or '-', '+', 'COUNT', size)
    rest = #page == size
    for _, row in ipairs(page) do
      local told = row[2]
      local at, id = tonumber(told[4]), told[6]
      if at > too_old and not F.is_beyond(rows, bytes, 1) then
        rest = false
        break
      end
      if told[20] then by_message[id] = (by_message[id] or 0) + 1 end
      if COUNTED[told[2]] then again[#again + 1] = row[1] end
      rows, bytes, dropped = rows - 1, bytes - (told[20] or 0), dropped + 1
      last, cut = row[1], at
    end
  end
  if not last then return false end
  local ms, n = string.match(last, '(%d+)-(%d+)')
  redis.call('XTRIM', stream, 'MINID', string.format('%s-%.0f', ms, n + 1))
  F.forget_rows(by_message)
  F.in_parts('HDEL', prefix .. 'auditagain', again)
  redis.call('SET', prefix .. 'auditbytes', bytes)
  redis.call('HSET', prefix .. 'auditcut', '', cut)
  return dropped == most
end
-- wake.lua
function F.wake_one(prefix, short, name, most)
  if redis.call('EXISTS', prefix .. short .. 'wait:' .. name) == 0 then return end
  local key = prefix .. short .. 'wake:' .. name
  if redis.call('LLEN', key) < most then redis.call('RPUSH', key, '1') end
  redis.call('PEXPIRE', key, 5000)
end
-- lock.lua
function F.lock_owner(prefix, name, now)
  local record = redis.call('HMGET', prefix .. 'lock:' .. name, 'owner', 'fence', 'since', 'until')
  if not record[1] then return nil end
  local until_ms = tonumber(record[4])
  if until_ms > 0 and until_ms <= now then return nil end
  return {
    owner = record[1], fence = tonumber(record[2]), since = tonumber(record[3]),
    until_ms = until_ms,
  }
end
function F.lock_take(prefix, name, owner, now, ttl_ms)
  local held = F.lock_owner(prefix, name, now)
  if held and held.owner ~= owner then return nil, held end
  if held then return held.fence, held end
  local key = prefix .. 'lock:' .. name
  local fence = redis.call('INCR', prefix .. 'fence')
  local until_ms = ttl_ms > 0 and now + ttl_ms or 0
  redis.call('HSET', key, 'owner', owner, 'fence', fence, 'since', now, 'until', until_ms)
  if ttl_ms > 0 then redis.call('PEXPIRE', key, ttl_ms) else redis.call('PERSIST', key) end
  return fence, { owner = owner, fence = fence, since = now, until_ms = until_ms }
end
function F.lock_free(prefix, name, owner, now)
  local held = F.lock_owner(prefix, name, now)
  if not held or held.owner ~= owner then return false end
  redis.call('DEL', prefix .. 'lock:' .. name)
  F.wake_one(prefix, 'lock', name, 1)
  return true
end
-- once.lua
function F.lock_entry(name)
  local entry = lock_table[name]
  if not entry then
    local was = F.lock_owner(prefix, name, 0)
    entry = { was = was, is = was }
    lock_table[name] = entry
  end
  return entry
end
function F.lock_of(name)
  local lock = F.lock_entry(name).is
  if lock and lock.until_ms > 0 and lock.until_ms <= now then return nil end
  return lock
end
function F.take_lock(name, r, timeout_ms)
  local lock = F.lock_of(name)
  if lock then return lock.owner == r.id end
  local entry = F.lock_entry(name)
  entry.is = {
    owner = r.id, since = now, timeout_ms = timeout_ms,
    until_ms = timeout_ms > 0 and now + timeout_ms or 0,
  }
  entry.changed = true
  return true
end
function F.stands_for(r)
  local found, above = {}, r
  while above and above.x.graft and not found[above.x.graft] do
    found[above.x.graft] = true
    above = F.load(above.x.graft)
  end
  return found
end
function F.borrower_of(r)
  local heir = r.x.lent and F.load(r.x.lent)
  return heir and heir.x.graft and not FINAL[heir.c[1]] and heir or nil
end
function F.lend_lock(owner, r)
  local above = F.stands_for(r)
  local user = above[owner] and F.load(owner)
  if not user then return owner end
  local heir = F.borrower_of(user)
  while heir do
    user, heir = heir, F.borrower_of(heir)
  end
  if user == r or not above[user.id] then return user.id end
  F.set_extra(user, 'lent', r.id)
  return r.id
end
function F.release(r, name)
  local entry, heir = F.lock_entry(name), F.borrower_of(r)
  if not heir or not entry.is or entry.is.owner ~= r.id then return F.free_lock(name, r.id) end
  local passed = { owner = heir.id }
  for _, field in ipairs({ 'fence', 'since', 'until_ms', 'timeout_ms' }) do
    passed[field] = entry.is[field]
  end
  entry.is, entry.changed = passed, true
end
function F.parked(name)
  local p = parking[name]
  if not p then
    p = { gone = {}, head = 0, added = {} }
    parking[name] = p
  end
  return p
end
function F.parked_first(name)
  local p = F.parked(name)
  while true do
    local id = redis.call('LINDEX', prefix .. 'parked:' .. name, p.head)
    if not id then return p.added[1] end
    if not p.gone[id] then return id end
    p.head = p.head + 1
  end
end
function F.park(r, name)
  F.set_extra(r, 'parked', name)
  local added = F.parked(name).added
  added[#added + 1] = r.id
  F.defer('RPUSH', prefix .. 'parked:' .. name, r.id)
end
function F.unpark(r)
  local name = r.x.parked
  local p = F.parked(name)
  F.set_extra(r, 'parked', nil)
  F.defer('LREM', prefix .. 'parked:' .. name, 1, r.id)
  for index, id in ipairs(p.added) do
    if id == r.id then
      table.remove(p.added, index)
      return
    end
  end
  p.gone[r.id] = true
end
function F.unpark_first(name)
  local id = F.parked_first(name)
  while id do
    local r = F.load(id)
    if r then
      F.unpark(r)
      F.on_free(r, name)
      return
    end
    F.defer('LREM', prefix .. 'parked:' .. name, 1, id)
    F.parked(name).gone[id] = true
    id = F.parked_first(name)
  end
end
function F.free_lock(name, owner)
  local entry = F.lock_entry(name)
  if not entry.is or entry.is.owner ~= owner then return false end
  entry.is, entry.changed = nil, true
  F.unpark_first(name)
  return true
end
function F.flush_locks()
  for name, entry in pairs(lock_table) do
    local was, is = entry.was, entry.is
    if was and is and was.fence == is.fence then
      redis.call('HSET', prefix .. 'lock:' .. name, 'owner', is.owner)
    elseif entry.changed then
      if entry.was then F.lock_free(prefix, name, entry.was.owner, 0) end
      if entry.is then
        F.lock_take(prefix, name, entry.is.owner, now, entry.is.timeout_ms)
        redis.call('ZADD', prefix .. 'locks', entry.is.timeout_ms > 0 and entry.is.until_ms or '+inf', name)
      else
        redis.call('ZREM', prefix .. 'locks', name)
      end
    end
  end
  lock_table, parking = {}, {}
end
-- unreadable.lua
function F.dead_letter_unreadable(id, key, packed)
  local raw = packed .. (redis.call('GET', prefix .. 'p:' .. id) or '')
  local p = cmsgpack.pack(raw)
  local c = {
    'failed', 1, 'unreadable', 1, 0, 0, 0, 0, 0, false, false, now, false, false, false, false, now, '',
    0, false, false, #p,
  }
  local m = { '', '', 0, 0, 0, 0, false, '', false, 0, false, false, false, 0, '', false, '' }
  redis.call('SET', key, '\147' .. cmsgpack.pack(c) .. cmsgpack.pack(m) .. p)
  redis.call('DEL', prefix .. 'p:' .. id)
  redis.call('ZREM', prefix .. 'expires', id)
  redis.call('ZADD', prefix .. 'ended:failed', '+inf', id)
  redis.call('ZADD', prefix .. 'dead', now, id)
  F.publish(id, 'failed')
end
function F.leave_place(id, c)
  if type(c) ~= 'table' then return end
  local state, queue = c[1], c[18]
  if not (KNOWN_STATES[state] and type(queue) == 'string') then return end
  if state ~= 'running' or type(c[10]) == 'string' then
    redis.call('ZREM', prefix .. F.place_of(state, queue, c[10]), id)
  end
  if not FINAL[state] then F.count_in(state, queue, -1) end
end
function F.dead_letter_damaged()
  for _, row in ipairs(damaged) do
    F.leave_place(row.id, row.c)
    F.dead_letter_unreadable(row.id, row.key, row.packed)
    F.audit_row('failed', row.id, '', 1, 0, 0, '', '{"reason":"unreadable"}')
  end
  damaged = {}
end
-- write.lua
function F.move_aside(r, state)
  local was, is = r.old_state and F.expiry_of(r.old_state, r.old_expires), false
  if state then is = F.expiry_of(state, r.c[14]) end
  local add, remove = moves.add, moves.remove
  if is and is ~= was then
    local list = F.list_of(add, 'expires')
    list[#list + 1], list[#list + 2] = is, r.id
  end
  if was and not is then table.insert(F.list_of(remove, 'expires'), r.id) end
  local was_dead, dead = F.is_dead(r.old_state, r.old_reason), F.is_dead(state, r.c[3])
  if dead then
    local list = F.list_of(add, 'dead')
    list[#list + 1], list[#list + 2] = r.c[17], r.id
  end
  if was_dead and not dead then table.insert(F.list_of(remove, 'dead'), r.id) end
end
function F.wake_watcher(first_before)
  if redis.call('ZRANGE', prefix .. 'scheduled', 0, 0)[1] == first_before then return end
  redis.call('DEL', prefix .. 'watcher')
  for queue in pairs(moves.scheduled) do F.wake(queue) end
end
-- transitions.lua
function F.end_extras(r, was, failure, result, keep)
  local x, once = r.x, r.x.once
  if failure or x.failure then F.set_extra(r, 'failure', failure or nil) end
  if x.doom then F.set_extra(r, 'doom', nil) end
  if r.c[1] ~= 'failed' then
    F.forget_inputs(r)
    F.forget_steps(r)
  end
  if r.x.parked then F.unpark(r) end
  if once and FREED_BY_END[once[2]] then
    F.release(r, once[1])
  end
  if was == 'queued' and once and HELD_WHILE[once[2]] and not F.lock_of(once[1] .. ':run') then
    F.unpark_first(once[1] .. ':run')
  end
  if r.x.edges then
    last_ending = last_ending + 1
    endings[last_ending] = {
      parent = r, edges = r.x.edges, followed = 0, result = result, keep = keep,
      cost = F.cost_of(result, failure),
    }
  end
end
function F.mirror(r, parent_id)
  F.set_extra(r, 'mirrors', parent_id)
  F.audit('joined', r)
  local parent = F.load(parent_id)
  if not parent then
    F.finish(r, 'revoked', 'duplicate')
  elseif FINAL[parent.c[1]] then
    local result = parent.c[21]
    F.follow(parent, { r.id, 'mirror', -1 }, result or '', result and true or false)
    F.drain()
  else
    local edges = parent.x.edges or {}
    edges[#edges + 1] = { r.id, 'mirror', -1 }
    F.set_extra(parent, 'edges', edges)
  end
end
function F.admit(r)
  local once, holder = r.x.once, r.id
  if once and HELD_UNTIL[once[2]] and not F.take_lock(once[1], r, once[4]) then
    holder = F.lend_lock(F.lock_entry(once[1]).is.owner, r)
  end
  if holder == r.id then
    if once then F.set_extra(r, 'admitted', true) end
    return true
  end
  F.set_state(r, 'waiting')
  if not F.static(r)[13] and (once[3] == 'reschedule' or once[3] == 'rerun') then
    F.park(r, once[1])
  else
    F.mirror(r, holder)
  end
  return false
end
function F.stage_open(name)
  if stage_is_open[name] == nil then
    stage_is_open[name] = redis.call('ZSCORE', prefix .. 'stages', name) and true or false
  end
  return stage_is_open[name]
end
function F.on_free(r, name)
  if string.sub(name, -4) == ':run' then
    F.queue_at(r, false, true)
  elseif F.admit(r) and F.startable(r) then
    F.make_ready(r)
  end
end
function F.put_input(child, slot, parent, ok, value)
  F.set_extra(child, 'inputs', (child.x.inputs or 0) + #value)
  F.defer('HSET', prefix .. 'in:' .. child.id, slot .. ':' .. parent.id, (ok and '1' or '0') .. value)
end
function F.open_to_parents(child)
  local c = child.c
  return c[1] == 'waiting' or c[3] == 'parent' or c[3] == 'mirror'
end
function F.break_child(child, parent, reason)
  if F.open_to_parents(child) then
    local broken = child.x.broken or {}
    broken[parent.id] = true
    F.set_extra(child, 'broken', broken)
  end
  if child.c[1] == 'waiting' then
    F.end_one(child, 'failed', reason, '', false, parent.x.failure or false)
  end
end
function F.count_down(child) F.set_extra(child, 'waits', (child.x.waits or 0) - 1) end
function F.follow_errback(child, parent, slot, failed)
  if child.c[1] ~= 'waiting' then return end
  F.set_extra(child, 'waits', failed and 0 or child.x.waits - 1)
  if failed then
    F.put_input(child, slot, parent, false, parent.x.failure or '')
    if F.startable(child) then F.make_ready(child) end
  elseif child.x.waits == 0 then
    F.end_one(child, 'revoked', 'not needed', '', false, false)
  end
end
function F.cost_of(result, failure)
  return 1 + math.floor((#result + #(failure or '')) / 20000)
end
function F.load_children(edges, most)
  local ids = {}
  for index = 1, math.min(#edges, most) do
    local id = edges[index][1]
    if records[id] == nil then ids[#ids + 1] = id end
  end
  reserve = math.max(reserve, #ids)
  if ids[2] then F.load_all(ids) end
end
function F.follow(parent, edge, value, keep)
  local child, on = F.load(edge[1]), edge[2]
  if not child then return end
  local ok = parent.c[1] == 'succeeded'
  if on == 'mirror' then
    if child.c[1] == 'waiting' and child.x.mirrors == parent.id then
      if ok then
        F.end_one(child, 'succeeded', '', value, keep, false)
      else
        F.break_child(child, parent, 'mirror')
      end
    end
  elseif (child.x.waits or 0) <= 0 then
    return
  elseif on == 'failure' then
    F.follow_errback(child, parent, edge[3], not ok and parent.c[3] ~= 'ignored')
  elseif not ok then
    F.break_child(child, parent, 'parent')
  elseif F.open_to_parents(child) then
    if edge[3] >= 0 then F.put_input(child, edge[3], parent, true, value) end
    F.count_down(child)
    if F.startable(child) then F.make_ready(child) end
  end
end
function F.leave_edges(ending)
  local parent, edges, parts = ending.parent, ending.edges, 0
  local number, last = F.next_seq(), #edges
  local most = math.ceil(200 / ending.cost)
  for first = ending.followed + 1, last, most do
    local part = { unpack(edges, first, math.min(first + most - 1, last)) }
    F.defer('RPUSH', prefix .. 'endings', number .. ' ' .. cmsgpack.pack(part))
    parts = parts + 1
  end
  if parts == 0 then return end
  local facts = cmsgpack.pack({ parent.id, parent.c[1], parent.c[3], ending.keep })
  F.defer('HSET', prefix .. 'ending:' .. number, 'facts', facts, 'result', ending.result,
    'failure', parent.x.failure or '', 'parts', parts)
  if parent.c[1] == 'failed' and not parent.deleted and parent.c[2] then
    F.set_extra(parent, 'ending', number)
  end
end
function F.leave_all_edges()
  if first_ending > last_ending then return end
  left_behind = true
  for index = first_ending, last_ending do F.leave_edges(endings[index]) end
  endings, first_ending, last_ending = {}, 1, 0
end
return F[missed]
end })
-- set_aside.lua
F.absorb_all()
function F.end_understood(id)
  local r = F.load(id)
  if not r then return false end
  F.finish(r, 'failed', 'unreadable')
  return true
end
function F.queue_of(packed)
  local size = struct.unpack('>I2', packed, 11 - 1)
  return cmsgpack.unpack(string.sub(packed, 11 + 1, 11 + size))[4]
end
local done = 0
for index = 4, #ARGV, 2 do
  local id, packed = ARGV[index], ARGV[index + 1]
  local key = prefix .. 'm:' .. id
  if redis.call('GET', key) == packed then
    local understood, ended = pcall(function() return F.end_understood(id) end)
    if understood and ended then
      F.flush()
    else
      dirty, later, records, damaged, lock_table = {}, {}, {}, {}, {}
      unwritten, counted, newest = {}, {}, {}
      local known, queue = pcall(function() return F.queue_of(packed) end)
      if known and type(queue) == 'string' then F.count_in('running', queue, -1) end
      F.audit_row('failed', id, '', 1, 0, 0, '', '{"reason":"unreadable"}')
    end
    redis.call('ZREM', prefix .. 'claims:' .. ARGV[3], id)
    F.dead_letter_unreadable(id, key, packed)
    F.flush()
    done = done + 1
  end
end
return done
