-- Who waits for a lock: ?1 its name, ?2 how many.
SELECT id FROM parked WHERE lock = ?1 ORDER BY place LIMIT ?2
