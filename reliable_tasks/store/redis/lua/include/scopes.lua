-- Sets of once-scopes. Made by `python -m tests.lua.build`.

local HELD_UNTIL = {
  until_and_while_executing = true,
  until_executed = true,
  until_executing = true,
  until_expired = true,
}
local HELD_WHILE = {
  until_and_while_executing = true,
  while_executing = true,
}
local FREED_BY_CLAIM = {
  until_and_while_executing = true,
  until_executing = true,
}
local FREED_BY_END = {
  until_and_while_executing = true,
  until_executed = true,
  until_executing = true,
}
