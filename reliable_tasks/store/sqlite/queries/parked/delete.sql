-- Wait for a lock no more: ?1 its name, ?2 place.
DELETE FROM parked WHERE lock = ?1 AND place = ?2
