-- The latest fencing number, and the latest number of everything else.
SELECT (SELECT value FROM lock_fence WHERE id = 1), seq FROM store WHERE id = 1
