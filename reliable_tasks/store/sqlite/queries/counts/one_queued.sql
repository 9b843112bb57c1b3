-- One record more is queued: ?1 its queue.
INSERT INTO counts (queue, state, count) VALUES (?1, 2, 1)
ON CONFLICT (queue, state) DO UPDATE SET count = count + 1
