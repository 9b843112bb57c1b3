-- Commit outcomes, then claim more work: the worker's one hot verb.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, session, commits ('' = none), limit ('' = no work wanted), whether
--         it has blocked for work ('1' or ''), queues ...
--         Commits are msgpack {ids, fences, results, discard_result, others}. Of those that succeeded:
--         fences of 8 bytes, results, and by their place in these lists for which of them the result
--         is not kept, see `commit_succeeded` in fast_path/claims.lua. Of the rest: false, and by
--         their place rows, see `commit` in commits.lua; false where there are none.
-- Returns {verdicts (a string of 1 = committed and 0 = stale), lost (0 or 1; 2 more where resume.lua
--         has something to do; 4 more where it has looked at as many as one call may, and there may
--         be others to claim), next due (ms; 0 = nothing is), for how long it may block at most,
--         since it watches for that (ms; -1 = it need not), then for each claim its id, record,
--         payload if that lies apart, and inputs; false if none}.
-- @include inbox.lua

local WATCH_MS = 5500 -- a little longer than anybody blocks
local session, waited = ARGV[3], ARGV[6] ~= ''
local known_worker

local function worker()
  known_worker = known_worker or redis.call('HGET', prefix .. 'workers', session) or ''
  return known_worker
end

local made -- the general path's functions, once something has needed one

-- The general path; until it is called for, all of it costs nothing.
local function general()
if made then return made end
-- @fields
local F = {}
-- @include commits.lua

-- The row of a commit that is not plain.
local function row_of(id, fence, result, keep)
  fence = struct.unpack('>I8', fence)
  return { id, fence, 'succeeded', '', result, keep }
end

-- Commit, in their order, those that have no verdict yet; those that have one are in `strings`, by
-- their places. Returns an error instead, if there is one.
local function commit_rest(ids, fences, results, discard_result, others, verdicts, strings)
  local rest = {}
  for index, id in ipairs(ids) do
    if not verdicts[index] then rest[#rest + 1] = id end
  end
  load_all(rest)
  for index, id in ipairs(ids) do
    if verdicts[index] then
      if audit_all then audit_packed('succeeded', id, strings[index]) end
    else
      local keep = not (discard_result and discard_result[index])
      local row = others and others[index] or row_of(id, fences[index], results[index], keep)
      verdicts[index] = commit(row, worker()) and '1' or '0'
    end
  end
  return refusal
end
-- @end fields
made = F
return F
end

-- @include fast_path/claims.lua

-- It blocks no more. What woke it stood for one message of one queue, and it has taken what it could
-- from all of its own: where something is left, another is woken, and so on.
local function wake_others()
  for index = 7, #ARGV do
    local queue = ARGV[index]
    if not emptied[queue] and (redis.call('EXISTS', prefix .. 'q:' .. queue) == 1
      or redis.call('XLEN', prefix .. 'inbox:' .. queue) > 0) then
      ring(queue)
    end
  end
end

-- One of those who block watches for what is due next; the others sleep on. Returns for how long
-- this one may block (ms); -1 = as long as it likes.
local function watch(due, claimed)
  local watcher = redis.call('GET', prefix .. 'watcher')
  if watcher and watcher ~= session then return -1 end
  if claimed == 0 then
    redis.call('SET', prefix .. 'watcher', session, 'PX', WATCH_MS)
    return due - now
  end
  if watcher or waited then -- it has work to do now: another has to
    redis.call('DEL', prefix .. 'watcher')
    for index = 7, #ARGV do ring(ARGV[index]) end
  end
  return -1
end

-- Returns the verdicts, or an error.
local function commit_all(ids, fences, results, discard_result, others)
  local total, found, verdicts, strings, written = #ids, 0, {}, {}, {}
  for first = 1, fences and total or 0, MESSAGES_BY_ONE_CALL do
    local last = math.min(first + MESSAGES_BY_ONE_CALL - 1, total)
    local changes, number = commit_succeeded(ids, fences, results, discard_result, first, last, verdicts, strings)
    written[#written + 1], found = changes, found + number
  end
  local rest = found < total or audit_all
  if rest then
    absorb_all()
    local refused = general().commit_rest(ids, fences, results, discard_result, others, verdicts, strings)
    if refused then return nil, redis.error_reply(refused) end
  end
  for _, changes in ipairs(written) do write_succeeded(changes) end
  if rest then general().flush(true) end
  return table.concat(verdicts)
end

local lease = tonumber(redis.call('ZSCORE', prefix .. 'sessions', session) or 0)
local lost = lease <= now
local reply = { '', lost and 1 or 0, 0, -1 }

local function claim_all(limit)
  local due = next_due()
  if due and due <= now then
    absorb_all()
    general().promote(100)
    due = next_due()
  end
  local claimed, others = 0, {}
  for index = 7, #ARGV do
    if claimed == limit or stopped then break end
    claimed = claimed + claim_from(ARGV[index], session, limit - claimed, reply, others)
  end
  for index, r in pairs(others) do general().fill_in(reply, index, r) end
  if stopped and claimed == 0 then reply[2] = reply[2] + 4 end
  if waited or stopped then wake_others() end
  due = made and next_due() or due
  if due then reply[3], reply[4] = due, watch(due, claimed) end
end

if ARGV[4] ~= '' then
  local verdicts, refused = commit_all(unpack(cmsgpack.unpack(ARGV[4]), 1, 5))
  if refused then return refused end
  reply[1] = verdicts
  if made and made.has_edges_left() then reply[2] = reply[2] + 2 end
end
if lost then -- lapsed: it claims nothing, and has to leave the work to others
  if waited then wake_others() end
elseif ARGV[5] ~= '' then
  claim_all(tonumber(ARGV[5]))
end
if made then made.flush() end
return reply
