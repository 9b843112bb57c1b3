-- Give a place back; no row where :owner has none.
DELETE FROM semaphore_leases
WHERE name = :name AND owner = :owner AND (until_ms = 0 OR until_ms > :now)
RETURNING fence;
