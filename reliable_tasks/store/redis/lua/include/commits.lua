-- The end of a claim: its outcome, applied if the claim is still the latest one.
-- A row of a commit is {id, fence, kind, detail, ...}, the rest as outcomes.lua names it.
-- @include claims.lua
-- @include outcomes.lua

-- Returns whether the commit was applied, now or before.
local function commit(row, worker)
  local r, fence, kind = load(row[1]), row[2], row[3]
  if not r or r.c[STATE] ~= 'running' or r.c[FENCE] ~= fence then
    return refuse_commit(r, row[1], fence, worker)
  end
  r.c[COMMITTED] = fence
  attempt_over(r)
  if r.x.revoked and revoked_instead(r, kind, row[5]) then return true end
  if kind == 'succeeded' then
    finish(r, 'succeeded', '', row[5], row[6], false, row[4])
  else
    apply_outcome(r, kind, row)
  end
  return true
end
