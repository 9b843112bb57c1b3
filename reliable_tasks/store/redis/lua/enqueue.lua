-- Store messages, taking their once-locks.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, rows (msgpack, see `store` in storing.lua; '' = all are plain),
--         stage ('' = none), seal ('1'), the stage's deadline in ms from now, limit of the opening,
--         a message that is in the stage ('' = none is known),
--         plain messages (msgpack, see `store_plain` in fast_path/store.lua),
--         whether records that have ended keep their ids ('1')
-- Returns {-1} where that one is gone, else as `store_batch` in storing.lua does, {held, then index, kind, holder, countdown_ms for each message not simply created}.
-- @include inbox.lua

local made -- the general path's functions, once something has needed one

-- The general path; until it is called for, all of it costs nothing.
local function general()
if made then return made end
-- @fields
local F = {}
-- @include storing.lua

-- The rows of plain messages.
local function rows_of(ids, payloads, kinds, belongs)
  local rows = {}
  for index, id in ipairs(ids) do
    local start, queue, priority = unpack(kinds[belongs and belongs[index] or 1])
    local c, m = decode(start .. struct.pack('>I8I8', 0, 0))
    rows[index] = { id, m, payloads[index], false, queue, priority, c[RESULT_TTL], true }
  end
  return rows
end
-- @end fields
made = F
return F
end

-- @include fast_path/store.lua

if absorb_all() > 0 then return MORE end
local plain = ARGV[9] ~= '' and cmsgpack.unpack(ARGV[9])
if plain and store_plain(unpack(plain, 1, 4)) then return { 0 } end
local stage = ARGV[4] ~= '' and ARGV[4] or nil
general()
if ARGV[8] ~= '' and not made.load(ARGV[8]) then return { -1 } end
local rows = plain and made.rows_of(unpack(plain, 1, 4)) or cmsgpack.unpack(ARGV[3])
local seal, deadline = ARGV[5] == '1', now + ARGV[6]
return made.store_batch(rows, stage, seal, deadline, tonumber(ARGV[7]), ARGV[10] == '1')
