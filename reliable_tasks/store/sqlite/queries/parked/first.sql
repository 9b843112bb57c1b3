-- Who waits longest for a lock: ?1 its name.
SELECT id, place FROM parked WHERE lock = ?1 ORDER BY place LIMIT 1
