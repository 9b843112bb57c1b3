-- The audit trail, as a script adds to it: rows are written with the transitions they tell of.
-- @include record.lua
-- @include trail.lua

local ONLY_ALL = {
  enqueued = true, started = true, succeeded = true, promoted = true, released = true,
  step = true, fired = true,
}
-- What is counted in the message's newest row, if that tells of the same.
local COUNTED = { duplicate = true, conflict = true, replaced = true, rerun = true }

local unwritten = {} -- rows to write
local counted = {} -- rows, to write or there, that tell of something that has happened again
local newest = {} -- id -> its newest row; false = it has none
local written_rows, trail_bytes = 0, 0 -- how many rows were written, and what all count for now
local most_rows, most_bytes -- the bounds of the trail; 0 = none
local SPARE = 64 -- the part of a bound by which it may be exceeded, so that not each row drops another one
local TRIMMED_AT_ONCE, TRAIL_PAGE = 100, 100

local function audit(event, r, detail)
  if ONLY_ALL[event] and not audit_all then return end
  local c = r.c
  audit_row(event, r.id, static(r)[TASK], c[ATTEMPT], c[DELIVERY], c[FENCE], c[WORKER], detail)
end

-- @rare

local function newest_row(id)
  local row = newest[id]
  if row == nil then
    local number = redis.call('LINDEX', prefix .. 'audit:' .. id, -1)
    local found = number and redis.call('XRANGE', prefix .. 'audit', number, number)[1]
    row = found and { number = number, event = found[2][2], at = tonumber(found[2][4]), again = 0 } or false
    newest[id] = row
  end
  return row
end

local function count_again(event, id)
  local row = newest_row(id)
  if not row or row.event ~= event or row.at <= now - AUDIT_COUNTED_MS then return false end
  row.again = row.again + 1
  if row.again == 1 then counted[#counted + 1] = row end
  return true
end

local function audit_row(event, id, task, attempt, delivery, fence, worker, detail)
  if COUNTED[event] and count_again(event, id) then return end
  local told = { event, id, task, attempt, delivery, fence, worker or '', detail or '' }
  local row = { event = event, at = now, again = 0, told = told }
  newest[id], unwritten[#unwritten + 1] = row, row
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

local function write_trail()
  for _, row in ipairs(unwritten) do row.number, trail_bytes = add_row(unpack(row.told)) end
  written_rows = written_rows + #unwritten
  for _, row in ipairs(counted) do
    local before = redis.call('HGET', prefix .. 'auditagain', row.number)
    local again = row.again + (before and string.match(before, '%d+') or 0)
    redis.call('HSET', prefix .. 'auditagain', row.number, again .. ' ' .. now)
  end
  unwritten, counted, newest = {}, {}, {}
end

local function trim_if_it_is_much()
  local most = math.max(TRIMMED_AT_ONCE, 2 * written_rows)
  written_rows = 0
  if is_beyond(redis.call('XLEN', prefix .. 'audit'), trail_bytes, 1 + 1 / SPARE) then trim_trail(most, -1) end
end

-- Whether so many rows, or what they count for, are beyond so much of a bound.
local function is_beyond(rows, bytes, part)
  most_rows = most_rows or tonumber(string.match(ARGV[2], ' (%d+) '))
  most_bytes = most_bytes or tonumber(string.match(ARGV[2], '%d+$'))
  return most_rows > 0 and rows > math.floor(most_rows * part)
    or most_bytes > 0 and bytes > math.floor(most_bytes * part)
end

-- What remembers rows goes with them: of each message so many.
local function forget_rows(by_message)
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
  in_parts('HDEL', prefix .. 'auditcut', forgotten)
end

-- Drop the oldest rows beyond the bounds, and those up to `too_old`, but not over `most`. Returns
-- whether there may be more of them.
local function trim_trail(most, too_old)
  local stream, rows = prefix .. 'audit', redis.call('XLEN', prefix .. 'audit')
  local bytes = tonumber(redis.call('GET', prefix .. 'auditbytes') or 0)
  local dropped, last, cut, rest, by_message, again = 0, false, 0, true, {}, {}
  while rest and dropped < most do
    local size = math.min(dropped + 1, TRAIL_PAGE, most - dropped)
    local page = redis.call('XRANGE', stream, last and '(' .. last or '-', '+', 'COUNT', size)
    rest = #page == size
    for _, row in ipairs(page) do
      local told = row[2] -- e, event, at, time, id, ..., s, what it counts for
      local at, id = tonumber(told[4]), told[6]
      if at > too_old and not is_beyond(rows, bytes, 1) then
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
  forget_rows(by_message)
  in_parts('HDEL', prefix .. 'auditagain', again)
  redis.call('SET', prefix .. 'auditbytes', bytes)
  redis.call('HSET', prefix .. 'auditcut', '', cut)
  return dropped == most
end

-- @end
