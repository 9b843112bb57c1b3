-- The layout of a record's string.
--
-- {ns}:m:<id> is \147 c m p, a msgpack array: c (what changes), m (what was enqueued) and p (the
-- payload, itself packed). On the way of most messages c is unpacked and packed, m and p are cut and
-- put together as they are. In c and m stand text and numbers only, false for none. A payload over
-- INLINE bytes lies apart, in {ns}:p:<id>, so that it is not copied at each step; p is true then,
-- and false once the payload is not needed.
--
-- A plain message is one call without extras (one that expires has the extra `born`), and with its
-- payload inside the string. For these not even c is unpacked: what happens to the message is put
-- before the array, or at its end:
--   \1 head seq enqueued \147 c m p                        queued
--   \2 fence head size stamp seq enqueued \147 c m p       claimed
--   \3 fence head size stamp seq enqueued \147 c m ended result    succeeded; \4: no result is kept
-- where head is where p begins (4 bytes, counted from 1) and result_ttl, size has 2 bytes and other
-- numbers 8, and stamp is msgpack: session, worker, started, queue.
-- Only `decode` of decode.lua reads such strings.
-- @include fields.lua

local PLACE_IN_QUEUE = 2 ^ 44 -- a queue's score is priority * this + seq
