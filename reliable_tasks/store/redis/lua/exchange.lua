-- Commit outcomes, then claim more work: the worker's one hot verb.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, session, commits (msgpack [[id, fence, kind, detail, ...], ...]; '' =
--         none), limit ('' = no work wanted), who waited (from wait_for_work; '' = nobody),
--         queues ...
-- Returns {verdicts (a string of 1 = committed and 0 = stale), lost (0 or 1), next due (ms; 0 =
--         nothing is), then for each claim its id, record, payload if that lies apart, and
--         inputs; false if none}.
-- @include commits.lua

-- @rare

-- It blocks no more; if it watched for what is due next, another has to.
local function back_to_work(waiter)
  for index = 7, #ARGV do redis.call('ZREM', prefix .. 'idle:' .. ARGV[index], waiter) end
  if redis.call('GET', prefix .. 'watcher') ~= waiter then return end
  redis.call('DEL', prefix .. 'watcher')
  for index = 7, #ARGV do
    if next_due() and nudge_one(ARGV[index]) then return end
  end
end

-- @end

local function commit_all(rows, worker)
  local ids, verdicts = {}, {}
  for index, row in ipairs(rows) do ids[index] = row[1] end
  load_all(ids)
  for index, row in ipairs(rows) do verdicts[index] = commit(row, worker) and '1' or '0' end
  return table.concat(verdicts)
end

local session = ARGV[3]
local lease = tonumber(redis.call('ZSCORE', prefix .. 'sessions', session) or 0)
local worker = redis.call('HGET', prefix .. 'workers', session) or ''
local reply = { '', lease <= now and 1 or 0, 0 }

if ARGV[4] ~= '' then
  local verdicts = commit_all(cmsgpack.unpack(ARGV[4]), worker)
  if refusal then return redis.error_reply(refusal) end
  flush()
  reply[1] = verdicts
end
if reply[2] == 1 or ARGV[5] == '' then return reply end
promote(100)
local limit, claimed = tonumber(ARGV[5]), {}
for index = 7, #ARGV do
  if #claimed == limit then break end
  local left = claim_from(ARGV[index], session, worker, limit, claimed)
  flush(left > 0 and { ['q:' .. ARGV[index]] = left })
end
if ARGV[6] ~= '' then back_to_work(ARGV[6]) end
reply[3] = next_due() or 0
for _, r in ipairs(claimed) do reply_claim(reply, r) end
return reply
