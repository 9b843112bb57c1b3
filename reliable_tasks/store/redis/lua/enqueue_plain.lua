-- Store one plain message.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode (other than 'all'), kind (see layout.lua), queue, the score at which its
--         priority begins in the queue, id, payload (msgpack)
-- Returns 1; 0 where something is at its key, and nothing was stored.
-- @include call.lua

local made -- what is needed only where somebody listens

local function general()
if made then return made end
-- @fields
local F = {}
-- @include notify.lua

local function tell(queue, id)
  wake(queue, 1)
  if is_watched() then publish(id, 'queued') end
end
-- @end fields
made = F
return F
end

local queue, id = ARGV[4], ARGV[6]
local seq = redis.call('INCR', prefix .. 'seq')
local packed = ARGV[3] .. struct.pack('>I8I8', now, seq) .. ARGV[7]
if redis.call('MSETNX', prefix .. 'm:' .. id, packed) == 0 then return 0 end
redis.call('ZADD', prefix .. 'q:' .. queue, ARGV[5] + seq, id)
redis.call('HINCRBY', prefix .. 'counts', 'queued:' .. queue, 1)
if redis.call('EXISTS', prefix .. 'idle:' .. queue, prefix .. 'watched') > 0 then general().tell(queue, id) end
return 1
