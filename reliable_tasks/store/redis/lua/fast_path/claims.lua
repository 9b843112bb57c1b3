-- Claim and commit plain messages. Needs the functions `general` and `worker`, and `waited`.
-- @include inbox.lua
-- @include fast_path/plain.lua

local MESSAGES_BY_ONE_CALL = 1000

-- The string of one that is claimed, once it has succeeded; `result` is false where it is not kept.
local function succeeded_string(packed, place_of_p, ended, result)
  return (result and '\7' or '\8') .. string.sub(packed, 2, place_of_p - 1) .. ended .. (result or '')
end

local function sized(stamp) return struct.pack('>I2', #stamp) .. stamp end

local emptied = {} -- the queues of which all has been claimed
local handed = 0 -- how many bytes lie apart of what has been claimed
local stopped = false -- whether it stopped before it had what it wanted

-- Claim at most `limit` of the messages `there` in the inbox of a queue that has nothing else, for a
-- session.
local function claim_from_inbox(queue, there, session, limit, reply)
  local inbox, strings = prefix .. 'inbox:' .. queue, {}
  local numbers, ids, queued = read_inbox(inbox, math.min(limit, ABSORBED_AT_ONCE))
  if ids[1] then
    local fence = redis.call('INCRBY', prefix .. 'fence', #ids) - #ids
    local stamp, scores, size = sized(cmsgpack.pack({ session, worker(), now, queue })), {}, #reply
    for index, id in ipairs(ids) do
      local packed = struct.pack('>BI8', IS_CLAIMED, fence + index) .. stamp .. queued[index]
      strings[index], scores[2 * index - 1], scores[2 * index] = packed, fence + index, id
    end
    if redis.call('MSETNX', unpack(keys_and_strings(ids, strings))) == 0 then
      absorb(queue)
      return 0
    end
    for index, id in ipairs(ids) do
      reply[size + 1], reply[size + 2], reply[size + 3], reply[size + 4] = id, strings[index], false, false
      size = size + 4
      if audit_all then general().audit_packed('started', id, strings[index]) end
    end
    redis.call('ZADD', prefix .. 'claims:' .. session, unpack(scores))
    count_in('running', queue, #ids)
    notify_changed(ids, 'running')
  end
  if numbers[1] then redis.call('XDEL', inbox, unpack(numbers)) end
  emptied[queue] = #numbers == there
  return #ids
end

-- Write claims of plain messages, which leave their queue by the caller's doing.
local function write_claimed(queue, session, ids, strings, scores)
  redis.call('MSET', unpack(strings))
  redis.call('ZADD', prefix .. 'claims:' .. session, unpack(scores))
  count_in('queued', queue, -#ids)
  count_in('running', queue, #ids)
  notify_changed(ids, 'running')
end

-- Claim at most `limit` messages of a queue for a session. Adds to `reply` what a worker gets: id,
-- string, payload if it lies apart, inputs if there are any; and to `others` the records of those
-- that are not plain, by where their string belongs in `reply`. Returns how many it claimed.
local function claim_from(queue, session, limit, reply, others)
  local key, seen, claimed = prefix .. 'q:' .. queue, 0, 0
  local there = redis.call('XLEN', prefix .. 'inbox:' .. queue)
  if there > 0 then
    if redis.call('EXISTS', key) == 0 then claimed = claim_from_inbox(queue, there, session, limit, reply) end
    if claimed > 0 then return claimed end
    absorb(queue, waited)
  end
  local looked_at = limit + 100 -- bounds what one call spends on the expired and the parked
  local ids, stamp
  repeat
    local most = math.min(limit - claimed, MESSAGES_BY_ONE_CALL)
    ids = redis.call('ZRANGE', key, seen, seen + most - 1)
    if not ids[1] then break end
    stamp = stamp or sized(cmsgpack.pack({ session, worker(), now, queue }))
    local keys = keys_of(ids, 1, #ids)
    local found, strings, scores, plain = redis.call('MGET', unpack(keys)), {}, {}, {}
    local fence, taken = redis.call('INCRBY', prefix .. 'fence', #ids) - #ids, #ids
    for index, id in ipairs(ids) do
      local packed, size, number = found[index], #reply, #plain
      fence = fence + 1
      if packed and string.byte(packed) == IS_QUEUED then
        packed = struct.pack('>BI8', IS_CLAIMED, fence) .. stamp .. packed
        plain[number + 1] = id
        strings[2 * number + 1], strings[2 * number + 2] = keys[index], packed
        scores[2 * number + 1], scores[2 * number + 2] = fence, id
        reply[size + 1], reply[size + 2], reply[size + 3], reply[size + 4] = id, packed, false, false
        claimed = claimed + 1
        if audit_all then general().audit_packed('started', id, packed) end
      else
        local r = general().claim_packed(id, keys[index], packed, session, worker(), fence, queue)
        if r then
          for part = 1, 4 do reply[size + part] = false end
          others[size + 1] = r
          claimed = claimed + 1
          handed = handed + general().weigh(r)
          if handed >= HANDED_AT_ONCE then
            taken = index
            break
          end
        end
      end
    end
    if plain[1] then write_claimed(queue, session, plain, strings, scores) end
    seen = seen + taken
    stopped = seen >= looked_at or handed >= HANDED_AT_ONCE
  until #ids < most or claimed == limit or stopped
  if seen > 0 then redis.call('ZREMRANGEBYRANK', key, 0, seen - 1) end
  if made then made.flush(true) end
  return claimed
end

-- Whether who holds a message can be read from its string; looked at once for all of one claim.
local function stamp_is_valid(stamp)
  local known, said = pcall(cmsgpack.unpack, stamp)
  return known and type(said) == 'table' and type(said[STAMP_SESSION]) == 'string'
    and type(said[STAMP_QUEUE]) == 'string'
end

-- Commit plain messages that succeeded, out of some: their ids, fences (8 bytes), results, and by
-- their place which results are not kept. Of each that it commits it puts a '1' into `verdicts` and
-- the string into `strings`. Returns what is to be written, and how many there are.
local function commit_succeeded(ids, fences, results, discard_result, first, last, verdicts, strings)
  local keys, changed, size, by_stamp = keys_of(ids, first, last), {}, 0, {}
  local ended = struct.pack('>I8', now)
  for offset, packed in ipairs(redis.call('MGET', unpack(keys))) do
    local index = first + offset - 1
    local id, fence, keep = ids[index], fences[index], not (discard_result and discard_result[index])
    if fence and packed and string.byte(packed) == IS_CLAIMED and string.sub(packed, 2, 9) == fence
      and #packed > CLAIMED_HEAD then
      local head = CLAIMED_HEAD + struct.unpack('>I2', packed, 10)
      local stamp = string.sub(packed, CLAIMED_HEAD + 1, head)
      local group = by_stamp[stamp]
      if not group and stamp_is_valid(stamp) then
        group = { {}, {}, {} }
        by_stamp[stamp] = group
      end
      if group and #packed > head + QUEUED_HEAD + PLACED then
        local size_of_kind, ttl = struct.unpack('>I4I8', packed, head + 2)
        packed = succeeded_string(packed, head + size_of_kind + PLACED + 1, ended, keep and results[index])
        changed[size + 1], changed[size + 2] = keys[offset], packed
        size = size + 2
        local number = #group[1]
        group[1][number + 1], group[3][number + 1] = id, packed
        group[2][2 * number + 1], group[2][2 * number + 2] = ttl > 0 and now + ttl or '+inf', id
        verdicts[index], strings[index] = '1', packed
      end
    end
  end
  return { changed, by_stamp }, size / 2
end

-- Write what `commit_succeeded` found.
local function write_succeeded(changes)
  if changes[1][1] then redis.call('MSET', unpack(changes[1])) end
  for stamp, group in pairs(changes[2]) do
    local holder, _, _, queue = unpack(cmsgpack.unpack(stamp))
    redis.call('ZREM', prefix .. 'claims:' .. holder, unpack(group[1]))
    redis.call('ZADD', prefix .. 'ended:succeeded', unpack(group[2]))
    count_in('running', queue, -#group[1])
    if is_awaited() then
      for index, id in ipairs(group[1]) do publish(id, 'succeeded', group[3][index]) end
    end
  end
end
