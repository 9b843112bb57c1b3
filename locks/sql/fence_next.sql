-- The next fencing number.
UPDATE lock_fence SET value = value + 1 WHERE id = 1 RETURNING value;
