-- Open a session; its lease starts now.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, session, lease_ms, worker, the rest of what is known of it (packed)
-- Returns nothing.
-- @include record.lua

redis.call('ZADD', prefix .. 'sessions', now + ARGV[4], ARGV[3])
redis.call('HSET', prefix .. 'workers', ARGV[3], ARGV[5])
redis.call('HSET', prefix .. 'info', ARGV[3], now .. ' ' .. ARGV[6])
