-- Locks past their time, oldest record first: ?1 and ?2 the range of names, ?3 now, ?4 how many.
SELECT name FROM locks
WHERE until_ms > 0 AND until_ms <= ?3 AND name >= ?1 AND name < ?2
ORDER BY rowid LIMIT ?4
