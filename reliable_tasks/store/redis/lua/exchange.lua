-- Commit outcomes, then claim more work: the worker's one hot verb.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, session, commits (msgpack [[id, fence, kind, detail, ...], ...]; '' =
--         none), limit ('' = no work wanted), who waited (from wait_for_work; '' = nobody),
--         queues ...
-- Returns {verdicts (a string of 1 = committed and 0 = stale), lost (0 or 1), next due (ms; 0 =
--         nothing is), claims {id, c, m, payload, headers, doom, x, inputs} ...}, the last four false if none.
-- @include commits.lua

-- It blocks no more; if it watched for what is due next, another has to.
local function back_to_work(waiter)
  for index = 7, #ARGV do redis.call('ZREM', prefix .. 'idle:' .. ARGV[index], waiter) end
  if redis.call('GET', prefix .. 'watcher') ~= waiter then return end
  redis.call('DEL', prefix .. 'watcher')
  for index = 7, #ARGV do
    if next_due() and nudge_one(ARGV[index]) then return end
  end
end

local session = ARGV[3]
local lease = tonumber(redis.call('ZSCORE', prefix .. 'sessions', session) or 0)
local worker = redis.call('HGET', prefix .. 'workers', session) or ''
local reply = { '', lease <= now and 1 or 0, 0 }

if ARGV[4] ~= '' then
  local verdicts = {}
  for index, row in ipairs(cmsgpack.unpack(ARGV[4])) do
    verdicts[index] = commit(row, worker) and '1' or '0'
  end
  if refusal then return redis.error_reply(refusal) end
  flush()
  reply[1] = table.concat(verdicts)
end
if reply[2] == 1 or ARGV[5] == '' then return reply end
promote(100)
local limit, claimed = tonumber(ARGV[5]), {}
for index = 7, #ARGV do
  claim_from(ARGV[index], session, worker, limit, claimed)
  flush()
end
if ARGV[6] ~= '' then back_to_work(ARGV[6]) end
reply[3] = next_due() or 0
for index, r in ipairs(claimed) do reply[index + 3] = claim_reply(r) end
return reply
