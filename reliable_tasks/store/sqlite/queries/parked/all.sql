-- Who waits for a lock: ?1 its name.
SELECT id FROM parked WHERE lock = ?1 ORDER BY place
