-- Open a session; its lease starts now.
-- KEYS[1] '{ns}:'
-- ARGV    now, audit mode, session, lease_ms, worker, the rest of what is known of it (packed), host,
--         process (its pid and start)
-- Returns nothing.
-- @include record.lua

redis.call('ZADD', prefix .. 'sessions', now + ARGV[4], ARGV[3])
redis.call('HSET', prefix .. 'workers', ARGV[3], ARGV[5])
redis.call('HSET', prefix .. 'info', ARGV[3], now .. ' ' .. ARGV[6])
redis.call('HSET', prefix .. 'hosts', ARGV[3], ARGV[7])
redis.call('HSET', prefix .. 'host:' .. ARGV[7], ARGV[3], ARGV[8])
redis.call('DEL', prefix .. 'turn:host:' .. ARGV[7]) -- there is somebody else to look after
