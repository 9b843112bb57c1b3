-- Store messages, taking their once-locks.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, rows (msgpack, see `store` in storing.lua; '' = all are plain),
--         stage ('' = none), seal ('1'), the stage's deadline in ms from now, limit of the opening,
--         a message that is in the stage ('' = none is known),
--         plain messages (msgpack, see `store_plain` in plain_storing.lua)
-- Returns {-1} where that one is gone, else as `store_batch` in storing.lua does, {held, then index, kind, holder, countdown_ms for each message not simply created}.
-- @include notify.lua
-- @include layout.lua

-- @general
-- @include storing.lua

-- The rows of plain messages.
local function rows_of(ids, heads, rests, groups, belongs)
  local rows = {}
  for index, id in ipairs(ids) do
    local group = groups[belongs and belongs[index] or 1]
    local c, rest = unfold(heads[index] .. struct.pack('>I8I8', 0, 0) .. rests[index])
    local m, p = string.sub(rest, 1, -c[SIZE_OF_P] - 1), string.sub(rest, -c[SIZE_OF_P])
    rows[index] = { id, m, p, false, group[1], group[2], c[RESULT_TTL], true }
  end
  return rows
end
-- @end general

-- @include plain_storing.lua

local plain = ARGV[9] ~= '' and cmsgpack.unpack(ARGV[9])
if plain and store_plain(unpack(plain, 1, 5)) then return { 0 } end
local stage = ARGV[4] ~= '' and ARGV[4] or nil
local general = general()
if ARGV[8] ~= '' and not general.load(ARGV[8]) then return { -1 } end
local rows = plain and general.rows_of(unpack(plain, 1, 5)) or cmsgpack.unpack(ARGV[3])
return general.store_batch(rows, stage, ARGV[5] == '1', now + ARGV[6], tonumber(ARGV[7]))
