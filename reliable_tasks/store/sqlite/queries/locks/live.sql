-- Locks that are held: ?1 and ?2 the range of names, ?3 now, ?4 how many (-1: all).
SELECT name, owner, fence, since_ms, until_ms FROM locks
WHERE name >= ?1 AND name < ?2 AND (until_ms = 0 OR until_ms > ?3)
ORDER BY name LIMIT ?4
