-- The latest fencing number, the latest number of everything else, and how many rows the trail has,
-- how many bytes, and up to when rows of it were dropped.
SELECT (SELECT value FROM lock_fence WHERE id = 1), seq, trail_rows, trail_bytes, trail_cut
FROM store WHERE id = 1
