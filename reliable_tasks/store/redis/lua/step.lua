-- Begin a step, or record its outcome. {ns}:step:<id> has for each name b<fence> or d<value>.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, id, fence, name, begin ('1') or record ('0'), value,
--         detail for the audit trail
-- Returns {known} or {'done', value}.
-- @include write.lua

local r = load(ARGV[3])
local key, fence, name = prefix .. 'step:' .. ARGV[3], ARGV[4], ARGV[5]
if not r or r.c[STATE] ~= 'running' or r.c[FENCE] ~= tonumber(fence) then return { 'stale' } end
local entry = redis.call('HGET', key, name) or ''
local begun_by = string.match(entry, '^b(%d+)$')
if string.sub(entry, 1, 1) == 'd' then return { 'done', string.sub(entry, 2) } end
if ARGV[6] == '1' and begun_by and begun_by ~= fence then return { 'begun' } end
set_extra(r, 'steps', true)
if ARGV[6] == '1' then
  defer('HSET', key, name, 'b' .. fence)
  flush()
  return { 'new' }
end
defer('HSET', key, name, 'd' .. ARGV[7])
audit('step', r, ARGV[8])
flush()
return { 'done', ARGV[7] }
