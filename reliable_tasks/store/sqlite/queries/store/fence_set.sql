-- Remember the latest fencing number: ?1.
UPDATE lock_fence SET value = ?1 WHERE id = 1
