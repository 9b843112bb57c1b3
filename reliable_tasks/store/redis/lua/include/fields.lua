-- Positions of fields in msgpack's arrays. Made by `python -m tests.lua.build`.

-- c of a record: what changes
local STATE, VERSION, REASON, ATTEMPT, DELIVERY, BOUNCES = 1, 2, 3, 4, 5, 6
local FENCE, COMMITTED, SEQ, SESSION, WORKER, ENQUEUED = 7, 8, 9, 10, 11, 12
local DUE, EXPIRES, FIRST, STARTED, ENDED, QUEUE = 13, 14, 15, 16, 17, 18
local RESULT_TTL, EXTRAS, RESULT, SIZE_OF_P = 19, 20, 21, 22

-- m of a record: what was enqueued
local TASK, FIRST_QUEUE, PRIORITY, FIRST_RESULT_TTL, FAILURE_TTL, MAX_DELIVERIES = 1, 2, 3, 4, 5, 6
local ONCE, TOKEN, ETA, DELAY, EXPIRES_AT, EXPIRES_IN = 7, 8, 9, 10, 11, 12
local JOINS_DUPLICATE, WAITS, ROOT_ID, PARENT_ID, HEADERS = 13, 14, 15, 16, 17

-- m[ONCE], x.once
local KEY, SCOPE, ON_CONFLICT, TIMEOUT = 1, 2, 3, 4

-- x.edges[n]
local CHILD, ON, SLOT = 1, 2, 3

-- a message to store
local ROW_ID, ROW_M, ROW_P, ROW_EDGES, ROW_QUEUE, ROW_PRIORITY = 1, 2, 3, 4, 5, 6
local ROW_RESULT_TTL, ROW_AT_ONCE = 7, 8

-- who claimed a message
local STAMP_SESSION, STAMP_WORKER, STAMP_STARTED, STAMP_QUEUE = 1, 2, 3, 4

-- a schedule entry: what changes
local SLOT_VERSION, SLOT_NEXT, SLOT_LAST, SLOT_LAST_ID, SLOT_RUNS, SLOT_MISSED = 1, 2, 3, 4, 5, 6
local SLOT_PAUSED = 7

-- first bytes, sizes of what stands before the array, limits
local IS_QUEUED, IS_CLAIMED, IS_SUCCEEDED, IS_SILENT, IS_ARRAY, QUEUED_HEAD = 5, 6, 7, 8, 147, 13
local CLAIMED_HEAD, PLACED, INLINE, HOOK_DELIVERIES, AUDIT_ROW_BYTES, AUDIT_COUNTED_MS = 11, 16, 1024, 2, 200, 60000
