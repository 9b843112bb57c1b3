-- What lies in a record's string.
--
-- {ns}:m:<id> is \147 c m p, a msgpack array: c (what changes), m (what was enqueued) and p (the
-- payload, itself packed). On the way of most messages c is unpacked and packed, m and p are cut and
-- put together as they are. In c and m stand text and numbers only, false for none. A payload over
-- INLINE bytes lies apart, in {ns}:p:<id>, so that it is not copied at each step; p is true then,
-- and false once the payload is not needed.
--
-- On the way of a plain message (one call, nothing hangs on it: no extras, of which one that expires
-- has `born`, and a payload that lies within) not even c is touched. What happens to it is put
-- before the array, or at its end:
--   \1 head seq enqueued \147 c m p                        queued
--   \2 fence head size stamp seq enqueued \147 c m p       claimed
--   \3 fence head size stamp seq enqueued \147 c m ended result    succeeded; \4: no result is kept
-- where head is where p begins (4 bytes, counted from 1) and result_ttl, size has 2 bytes and other
-- numbers 8, and stamp is msgpack: session, worker, started, queue.
-- What such a string says is in `decode` of decode.lua, and nowhere else.
-- @include fields.lua

local PLACE_IN_QUEUE = 2 ^ 44 -- a queue's score is priority * this + seq
