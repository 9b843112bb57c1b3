-- Commit the outcome of a claim, if that is still the latest one.
-- A row of a commit is {id, fence, kind, detail, ...}, the rest as outcomes.lua names it.
-- @include claims.lua
-- @include outcomes.lua

-- Returns whether the commit was applied, now or before.
local function commit(row, worker)
  local id, fence, kind, detail = unpack(row, 1, 4)
  local r = load(id)
  if not r or r.c[STATE] ~= 'running' or r.c[FENCE] ~= fence then
    return refuse_commit(r, id, fence, worker)
  end
  r.c[COMMITTED] = fence
  end_attempt(r)
  local requeue = kind == 'rejected' and row[5]
  if r.x.revoked and revoked_instead(r, kind, requeue) then return true end
  if kind == 'succeeded' then
    local result, keep = row[5], row[6]
    finish(r, 'succeeded', '', result, keep, false, detail)
  else
    apply_outcome(r, kind, row)
  end
  return true
end
