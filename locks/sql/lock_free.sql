-- Free a lock; no row where :owner does not have it.
DELETE FROM locks
WHERE name = :name AND owner = :owner AND (until_ms = 0 OR until_ms > :now)
RETURNING fence;
